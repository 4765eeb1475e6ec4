// Shadows OpenCV's list of modules: opencv2/opencv.hpp, which gocv includes,
// then asks for the headers of these three only, and of videoio where
// video/opencv4.pc defines it.
#define HAVE_OPENCV_CORE
#define HAVE_OPENCV_IMGPROC
#define HAVE_OPENCV_IMGCODECS
