//go:build cgo && gocv_specific_modules && linux

// OpenCV's readers and writers of picture files, loaded when one is first
// called. libopencv_imgcodecs brings 120 libraries into a process, which took
// most of the time that a short one lives; a JPEG is read and written without it
// (jpeg_native.go). These definitions stand before the library's own, so that
// nothing is left for the linker to take from it, and --as-needed
// (imgcodecs_lazy.go) leaves it out.

#include <dlfcn.h>

#include <string>

#include <opencv2/imgcodecs.hpp>

namespace {

void *library() {
	static void *const handle = [] {
		const std::string major = std::to_string(CV_VERSION_MAJOR), minor = std::to_string(CV_VERSION_MINOR);
		const std::string name = "libopencv_imgcodecs.so";
		// As Debian, as OpenCV, and as a folder of headers names it.
		for (const std::string &suffix : {"." + major + (minor.size() < 2 ? "0" : "") + minor, "." + major + "." + minor, std::string()})
			if (void *h = dlopen((name + suffix).c_str(), RTLD_NOW | RTLD_LOCAL)) return h;
		return static_cast<void *>(nullptr);
	}();
	if (!handle) CV_Error(cv::Error::StsError, "OpenCV's library imgcodecs is not installed (apt-get install libopencv-imgcodecs-dev)");
	return handle;
}

template <typename F> F *find(const char *symbol) {
	void *f = dlsym(library(), symbol);
	if (!f) CV_Error(cv::Error::StsError, std::string("OpenCV's library imgcodecs has no ") + symbol);
	return reinterpret_cast<F *>(f);
}

} // namespace

#define STRING "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"

namespace cv {

Mat imread(const String &filename, int flags) {
	static const auto f = find<Mat(const String &, int)>("_ZN2cv6imreadERK" STRING "i");
	return f(filename, flags);
}

bool imreadmulti(const String &filename, std::vector<Mat> &mats, int flags) {
	static const auto f = find<bool(const String &, std::vector<Mat> &, int)>("_ZN2cv11imreadmultiERK" STRING "RSt6vectorINS_3MatESaIS9_EEi");
	return f(filename, mats, flags);
}

bool imreadmulti(const String &filename, std::vector<Mat> &mats, int start, int count, int flags) {
	static const auto f = find<bool(const String &, std::vector<Mat> &, int, int, int)>("_ZN2cv11imreadmultiERK" STRING "RSt6vectorINS_3MatESaIS9_EEiii");
	return f(filename, mats, start, count, flags);
}

bool imwrite(const String &filename, InputArray img, const std::vector<int> &params) {
	static const auto f = find<bool(const String &, InputArray, const std::vector<int> &)>("_ZN2cv7imwriteERK" STRING "RKNS_11_InputArrayERKSt6vectorIiSaIiEE");
	return f(filename, img, params);
}

bool imencode(const String &ext, InputArray img, std::vector<uchar> &buf, const std::vector<int> &params) {
	static const auto f = find<bool(const String &, InputArray, std::vector<uchar> &, const std::vector<int> &)>("_ZN2cv8imencodeERK" STRING "RKNS_11_InputArrayERSt6vectorIhSaIhEERKSB_IiSaIiEE");
	return f(ext, img, buf, params);
}

Mat imdecode(InputArray buf, int flags) {
	static const auto f = find<Mat(InputArray, int)>("_ZN2cv8imdecodeERKNS_11_InputArrayEi");
	return f(buf, flags);
}

Mat imdecode(InputArray buf, int flags, Mat *dst) {
	static const auto f = find<Mat(InputArray, int, Mat *)>("_ZN2cv8imdecodeERKNS_11_InputArrayEiPNS_3MatE");
	return f(buf, flags, dst);
}

} // namespace cv
