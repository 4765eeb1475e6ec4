//go:build onednn

#include "rows.h"
#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Sums keep the order in which they are written: no fast-math. Only what stops
// vectorisation without changing a value is switched off.
#pragma GCC optimize("O3", "no-math-errno", "no-trapping-math")

// ISA and LANES make a set. HALVES: with loops over bf16, not only pieces that are
// widened. REST: the set that the loops are of which no bf16 enters.
#define CAT2(a, b) a##_##b
#define CAT(a, b) CAT2(a, b)
#define T(name) CAT(name, ISA)

#define HALVES 0
#define ISA base
#define ISA_NAME "baseline"
#define LANES 4
#include "rows_impl.h"
#undef ISA
#undef ISA_NAME
#undef LANES

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define ISA avx2
#define ISA_NAME "AVX2"
#define LANES 8
#include "rows_impl.h"
#undef ISA
#undef ISA_NAME
#undef LANES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define ISA avx512
#define ISA_NAME "AVX-512"
#define LANES 16
#include "rows_impl.h"
#undef ISA
#undef ISA_NAME
#undef HALVES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define ISA avx512bf16
#define ISA_NAME "AVX-512"
#define HALVES 1
#define REST avx512
#include "rows_impl.h"
#undef ISA
#undef ISA_NAME
#undef LANES
#pragma GCC pop_options
#endif

const vl_rows *vl_rows_select(int limit) {
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (limit > 1 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
		return limit > 2 && __builtin_cpu_supports("avx512bf16") ? &rows_avx512bf16 : &rows_avx512;
	if (limit > 0 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &rows_avx2;
#endif
	return &rows_base;
}
