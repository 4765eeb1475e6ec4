// Reads polygons "h w points x0 y0 …", one a line, and writes the compressed
// string and the box of each as COCO's maskApi makes them.
// cc -O1 -I COCOAPI/common -o polygons polygons.c -lm
#include <stdio.h>
#include <string.h>
#include "maskApi.c"

int main(void) {
	siz h, w, k;
	while (scanf("%lu %lu %lu", &h, &w, &k) == 3) {
		double *xy = malloc(2 * k * sizeof *xy), bb[4];
		for (siz i = 0; i < 2 * k; i++) {
			if (scanf("%lf", xy + i) != 1) return 1;
		}
		RLE r;
		rleFrPoly(&r, xy, k, h, w);
		rleToBbox(&r, bb, 1);
		printf("%s %g %g %g %g\n", rleToString(&r), bb[0], bb[1], bb[2], bb[3]);
		free(xy);
	}
	return 0;
}
