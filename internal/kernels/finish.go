package kernels

// Finish is what else happens to the results of a product, in this order, while
// they are in registers:
//
//	Y += Add                      a residual connection
//	Y = max(Y, 0)                 Relu
//	Y = 0 where Mask ≤ 0          the gradient of a Relu whose output is Mask
//
// Add and Mask have the shape of what is written. It is an offer: a kernel that
// takes all of it sets Taken when it is bound; to one that does not it is as if it
// were nil.
type Finish struct {
	Add   Buf
	Relu  bool
	Mask  Buf
	Taken bool
}
