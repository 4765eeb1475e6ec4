#!/usr/bin/env bash
# Prints the build tags that this machine's system libraries allow:
#
#   onednn                 dnnl.h of oneDNN 2.x and a C++ compiler
#   gocv_specific_modules  OpenCV 4 headers of core, imgproc, imgcodecs
#   libjpeg                jpeglib.h of libjpeg-turbo, beside gocv_specific_modules
#   gocv_videoio           those of videoio too, with VIDEO=1 only: it makes every
#                          start of the program slower
#
# Nothing is printed where neither is there: the portable build needs nothing.
#   native.sh            the tags, separated by commas
#   native.sh --missing  the Debian packages that would bring the rest
#   native.sh --pc       the folder to put on PKG_CONFIG_PATH
# VISLORA_PORTABLE=1 pretends that nothing is there.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

compiles() { g++ -E -x c++ -I/usr/include/opencv4 - >/dev/null 2>&1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Our reduced opencv4.pc knows Debian's include folder only; elsewhere the
# system's own file is right.
pc=""
[ -f /usr/include/opencv4/opencv2/core.hpp ] && pc=$here/opencv
video=0
if [ "${VIDEO:-}" = 1 ] && { [ -z "$pc" ] || [ -f /usr/include/opencv4/opencv2/videoio.hpp ]; }; then
  video=1
  pc=${pc:+$pc/video}
fi
if [ "${1:-}" = --pc ]; then
  echo "$pc"
  exit 0
fi

tags=() missing=()
if [ "${VISLORA_PORTABLE:-}" != 1 ]; then
  have g++ || missing+=(g++)
  have pkg-config || missing+=(pkg-config)
  # oneDNN 3 has another C API than 2.
  if printf '#include <dnnl.h>\n#include <dnnl_version.h>\n#if DNNL_VERSION_MAJOR != 2\n#error\n#endif\n' | compiles; then
    tags+=(onednn)
  else
    missing+=(libdnnl-dev)
  fi
  if { printf '#include <opencv2/imgcodecs.hpp>\n#include <opencv2/imgproc.hpp>\n' | compiles && have pkg-config; } ||
    { [ -z "$pc" ] && have g++ && have pkg-config && pkg-config --exists opencv4; }; then
    tags+=(gocv_specific_modules)
    if printf '#include <stdio.h>\n#include <jpeglib.h>\n#if LIBJPEG_TURBO_VERSION_NUMBER < 1005000\n#error\n#endif\n' | compiles; then
      tags+=(libjpeg)
    else
      missing+=(libjpeg-dev)
    fi
    [ $video = 0 ] || tags+=(gocv_videoio)
  else
    missing+=(libopencv-imgcodecs-dev)
  fi
  [ "${VIDEO:-}" != 1 ] || [ $video = 1 ] || missing+=(libopencv-videoio-dev)
  if [ "$(go env CGO_ENABLED 2>/dev/null)" = 0 ]; then
    tags=()
  fi
fi
if [ "${1:-}" = --missing ]; then
  echo "${missing[*]:-}"
else
  IFS=,
  echo "${tags[*]:-}"
fi
