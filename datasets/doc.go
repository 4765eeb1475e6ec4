// Package datasets holds lists of labelled images ([Dataset]) and feeds
// training with them ([Loader]). How the lists are read from disk is the
// matter of the packages below it.
package datasets
