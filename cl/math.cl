/* SPDX-License-Identifier: MIT */
/*
 * cl/math.cl: types and elementary functions of generated kernels.
 *
 * Every function exists for `lanes`, a vector of KCL_LANES numbers, and for `real`, a single one; with KCL_LANES 1 they
 * are the same type. A scalar is computed as a vector of equal lanes, so both give the same bits. Measured errors:
 * docs/accuracy.md. Example preface:
 *
 *     #define KCL_REAL_F32     or KCL_REAL_F64
 *     #define KCL_LANES 16     1, 2, 4, 8 or 16
 *     #define KCL_NATIVE       where the device computes float32 powers of 2 itself: to 2 ulps on GPUs
 *
 * Names that end in an underscore are used in this file only. Contraction is off and every fma is written, so results
 * do not depend on what a compiler would fuse.
 */
#if !defined(KCL_REAL_F32) && !defined(KCL_REAL_F64)
#define KCL_REAL_F32
#endif
#ifndef KCL_LANES
#define KCL_LANES 16
#endif

#pragma OPENCL FP_CONTRACT OFF

/* ---- Types ------------------------------------------------------------------------------------------------------- */

#define KCL_CAT__(a, b) a##b
#define KCL_CAT_(a, b) KCL_CAT__(a, b)
#if KCL_LANES == 1
#define KCL_VECTOR_(type) type
#else
#define KCL_VECTOR_(type) KCL_CAT_(type, KCL_LANES)
#endif

/* KCL_R(1.5) is a literal of type real. */
#ifdef KCL_REAL_F64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#define KCL_R(literal) literal
#define KCL_REAL_NAME double
typedef double real;
typedef long ireal;
typedef KCL_VECTOR_(double) lanes;
typedef KCL_VECTOR_(long) ilanes; /* masks, bit patterns and whole numbers of lanes */
typedef KCL_VECTOR_(ulong) ulanes_;
#define kcl_as_lanes_ KCL_VECTOR_(as_double)
#define kcl_as_ilanes_ KCL_VECTOR_(as_long)
#define kcl_as_ulanes_ KCL_VECTOR_(as_ulong)
#define kcl_to_lanes KCL_VECTOR_(convert_double)
#define kcl_to_ilanes KCL_VECTOR_(convert_long)
#define KCL_REAL_MAX DBL_MAX
#define KCL_EPSILON DBL_EPSILON
#else
#define KCL_R(literal) literal##f
#define KCL_REAL_NAME float
typedef float real;
typedef int ireal;
typedef KCL_VECTOR_(float) lanes;
typedef KCL_VECTOR_(int) ilanes; /* masks, bit patterns and whole numbers of lanes */
typedef KCL_VECTOR_(uint) ulanes_;
#define kcl_as_lanes_ KCL_VECTOR_(as_float)
#define kcl_as_ilanes_ KCL_VECTOR_(as_int)
#define kcl_as_ulanes_ KCL_VECTOR_(as_uint)
#define kcl_to_lanes KCL_VECTOR_(convert_float)
#define kcl_to_ilanes KCL_VECTOR_(convert_int)
#define KCL_REAL_MAX FLT_MAX
#define KCL_EPSILON FLT_EPSILON
#endif
typedef KCL_VECTOR_(long) longs; /* numbers of rows and columns */
#define kcl_to_longs KCL_VECTOR_(convert_long)

/* Lanes from and to arrays. */
#if KCL_LANES == 1
#define KCL_VLOAD(from) (from)[0]
#define KCL_VSTORE(value, to) (to)[0] = (value)
#else
#define KCL_VLOAD(from) KCL_CAT_(vload, KCL_LANES)(0, from)
#define KCL_VSTORE(value, to) KCL_CAT_(vstore, KCL_LANES)(value, 0, to)
#endif

#define KCL_FN static __attribute__((overloadable, always_inline))

/* Whether a mask is set in any lane; a comparison of single numbers gives 1, not -1. */
#if KCL_LANES == 1
#define KCL_ANY(mask) ((mask) != 0)
#else
#define KCL_ANY(mask) any(mask)
#endif

/* The form for `real` of a function of one vector. */
#if KCL_LANES == 1
#define KCL_SCALAR_(name)
#else
#define KCL_SCALAR_(name)                                                                                              \
    KCL_FN real name(real x)                                                                                           \
    {                                                                                                                  \
        return name((lanes)(x)).s0;                                                                                    \
    }
#endif

/* The same for functions of two. */
#if KCL_LANES == 1
#define KCL_SCALAR_OF_TWO_(name)
#else
#define KCL_SCALAR_OF_TWO_(name)                                                                                       \
    KCL_FN real name(real x, real y)                                                                                   \
    {                                                                                                                  \
        return name((lanes)(x), (lanes)(y)).s0;                                                                        \
    }
#endif

/* Horner's rule with coefficients from the highest power down. */
#define KCL_STEP_(p, x, coefficient) p = fma(p, x, (lanes)(coefficient))

/* ---- Bits of floating-point numbers ------------------------------------------------------------------------------ */

/* MAGIC: adding and subtracting it rounds to an integer, which the low bits of the sum hold, plus BIAS of choice. */
#ifdef KCL_REAL_F64
#define KCL_MANTISSA_ 52
#define KCL_BIAS_ 1023
#define KCL_MAGIC_ 0x1.8p52
#define KCL_MAX_EXPONENT_ 1200.0  /* beyond the exponent of every double: 2^it is infinite, 2^-it is zero */
#define KCL_ZERO_EXPONENT_ 1080.0 /* 2^-it is zero, and it - 64 is still the exponent of a normal number */
#define KCL_MIN_NORMAL_ 0x1p-1022
#define KCL_SUBNORMAL_SHIFT_ 54.0
#define KCL_SUBNORMAL_SCALE_ 0x1p54
#define KCL_ONE_BITS_ 0x3ff0000000000000L
#define KCL_SQRT_HALF_BITS_ 0x3fe6a09e667f3bcdL
#define KCL_MANTISSA_BITS_ 0x000fffffffffffffL
#define KCL_TWO_52_BITS_ 0x4330000000000000L /* 2^52: or-ing an integer into it adds it */
#define KCL_TWO_52_ 0x1p52
#else
#define KCL_MANTISSA_ 23
#define KCL_BIAS_ 127
#define KCL_MAGIC_ 0x1.8p23f
#define KCL_MAX_EXPONENT_ 190.0f
#define KCL_ZERO_EXPONENT_ 160.0f
#define KCL_MIN_NORMAL_ 0x1p-126f
#define KCL_SUBNORMAL_SHIFT_ 24.0f
#define KCL_SUBNORMAL_SCALE_ 0x1p24f
#define KCL_ONE_BITS_ 0x3f800000
#define KCL_SQRT_HALF_BITS_ 0x3f3504f3
#define KCL_MANTISSA_BITS_ 0x007fffff
#define KCL_TWO_52_BITS_ 0x4b000000 /* 2^23 */
#define KCL_TWO_52_ 0x1p23f
#endif
#define KCL_INFINITY_ ((lanes)(INFINITY))
#define KCL_NAN_ ((lanes)(NAN))

/* Limits of x that keep NaN, where min and max would drop it; they compile to one instruction. */
KCL_FN lanes kcl_at_least_(lanes x, real low)
{
    return x < (lanes)(low) ? (lanes)(low) : x;
}

KCL_FN lanes kcl_at_most_(lanes x, real high)
{
    return x > (lanes)(high) ? (lanes)(high) : x;
}

/*
 * AVX-512 has instructions for t - rint(t), which is 0 at infinities, and for p * 2^n, which rounds once and takes
 * infinite n: with them exp2 needs no limits at all. It also has 1/sqrt(x) to 14 bits.
 */
#if defined(__has_builtin) && defined(__AVX512F__) && defined(__AVX512DQ__)
#if defined(KCL_REAL_F32) && KCL_LANES == 16
#if __has_builtin(__builtin_ia32_reduceps512_mask) && __has_builtin(__builtin_ia32_scalefps512_mask) && \
    __has_builtin(__builtin_ia32_rsqrt14ps512_mask)
#define KCL_AVX512_
#define kcl_fraction_(t) __builtin_ia32_reduceps512_mask(t, 8, t, (ushort)0xffff, 4)
#define kcl_scalef_(p, n) __builtin_ia32_scalefps512_mask(p, n, p, (ushort)0xffff, 4)
#define kcl_rsqrt14_(x) __builtin_ia32_rsqrt14ps512_mask(x, x, (ushort)0xffff)
#endif
#elif defined(KCL_REAL_F64) && KCL_LANES == 8
#if __has_builtin(__builtin_ia32_reducepd512_mask) && __has_builtin(__builtin_ia32_scalefpd512_mask) && \
    __has_builtin(__builtin_ia32_rsqrt14pd512_mask)
#define KCL_AVX512_
#define kcl_fraction_(t) __builtin_ia32_reducepd512_mask(t, 8, t, (uchar)0xff, 4)
#define kcl_scalef_(p, n) __builtin_ia32_scalefpd512_mask(p, n, p, (uchar)0xff, 4)
#define kcl_rsqrt14_(x) __builtin_ia32_rsqrt14pd512_mask(x, x, (uchar)0xff)
#endif
#endif
#endif

/* p * 2^n for integers n up to KCL_MAX_EXPONENT_ in size, and p near 1. */
KCL_FN lanes kcl_scale_(lanes p, lanes n)
{
#ifdef KCL_AVX512_
    return kcl_scalef_(p, n);
#else
    /* In two factors, as 2^n alone may be out of range. The first product is exact, so there is one rounding. */
    const lanes magic = (lanes)(KCL_MAGIC_ + KCL_BIAS_);
    const lanes z = fma(n, (lanes)(KCL_R(0.5)), magic);
    const lanes rest = (n - (z - magic)) + magic;
    return p * kcl_as_lanes_(kcl_as_ilanes_(z) << KCL_MANTISSA_) *
           kcl_as_lanes_(kcl_as_ilanes_(rest) << KCL_MANTISSA_);
#endif
}

/* ---- Exponentials ------------------------------------------------------------------------------------------------ */

/* scale * 2^f for |f| <= 1/2; `scale` is a power of two. Polynomials of least error in ulps with value 1 at 0. */
KCL_FN lanes kcl_exp2_polynomial_(lanes f, real scale)
{
#ifdef KCL_REAL_F64
    lanes p = (lanes)(0x1.dac08f8257c2bp-32 * scale);
    KCL_STEP_(p, f, 0x1.e620c3d6f53b4p-28 * scale);
    KCL_STEP_(p, f, 0x1.b52f5503f9eeep-24 * scale);
    KCL_STEP_(p, f, 0x1.62bfc491c885ep-20 * scale);
    KCL_STEP_(p, f, 0x1.ffcbf73a8a7e7p-17 * scale);
    KCL_STEP_(p, f, 0x1.4309130ff8cccp-13 * scale);
    KCL_STEP_(p, f, 0x1.5d87fe79c7542p-10 * scale);
    KCL_STEP_(p, f, 0x1.3b2ab6fb9fc47p-7 * scale);
    KCL_STEP_(p, f, 0x1.c6b08d7049a3dp-5 * scale);
    KCL_STEP_(p, f, 0x1.ebfbdff82c5a6p-3 * scale);
    KCL_STEP_(p, f, 0x1.62e42fefa39f1p-1 * scale);
#else
    lanes p = (lanes)(0x1.5b4e98p-10f * scale);
    KCL_STEP_(p, f, 0x1.3cf69cp-7f * scale);
    KCL_STEP_(p, f, 0x1.c6b9eep-5f * scale);
    KCL_STEP_(p, f, 0x1.ebf99ap-3f * scale);
    KCL_STEP_(p, f, 0x1.62e424p-1f * scale);
#endif
    KCL_STEP_(p, f, scale);
    return p;
}

#if defined(KCL_NATIVE) && defined(KCL_REAL_F32)
#ifdef cl_nv_pragma_unroll
/* NVIDIA's native_exp2 spends three instructions of its four on results that are subnormal; here these become 0. */
KCL_FN float kcl_native_exp2_of_(float x)
{
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}

KCL_FN lanes kcl_native_exp2_(lanes x)
{
    float lane[KCL_LANES];
    KCL_VSTORE(x, lane);
    _Pragma("unroll") for (int l = 0; l < KCL_LANES; l++) lane[l] = kcl_native_exp2_of_(lane[l]);
    return KCL_VLOAD(lane);
}
#else
#define kcl_native_exp2_ native_exp2
#endif
#endif

/* 2^x. */
KCL_FN lanes kcl_exp2(lanes x)
{
#if defined(KCL_NATIVE) && defined(KCL_REAL_F32)
    return kcl_native_exp2_(x);
#elif defined(KCL_AVX512_)
    const lanes f = kcl_fraction_(x);
    return kcl_scalef_(kcl_exp2_polynomial_(f, KCL_R(1.0)), x - f);
#else
    x = kcl_at_most_(kcl_at_least_(x, -KCL_MAX_EXPONENT_), KCL_MAX_EXPONENT_);
    const lanes n = (x + (lanes)(KCL_MAGIC_)) - (lanes)(KCL_MAGIC_);
    return kcl_scale_(kcl_exp2_polynomial_(x - n, KCL_R(1.0)), n);
#endif
}

/* 2^x where x <= 0 or NaN is known: the same values at less cost. */
KCL_FN lanes kcl_exp2_nonpos(lanes x)
{
#if defined(KCL_AVX512_) || (defined(KCL_NATIVE) && defined(KCL_REAL_F32))
    return kcl_exp2(x);
#else
    /* 2^-64 in the polynomial and 2^64 in the scale keep the scale normal where the result is subnormal or zero. */
    const lanes magic = (lanes)(KCL_MAGIC_ + (KCL_BIAS_ + 64));
    x = kcl_at_least_(x, -KCL_ZERO_EXPONENT_);
    const lanes z = x + magic;
    return kcl_exp2_polynomial_(x - (z - magic), KCL_R(0x1p-64)) *
           kcl_as_lanes_(kcl_as_ilanes_(z) << KCL_MANTISSA_);
#endif
}

/* e^x: n log(2) is taken off in two parts, so no accuracy is lost for large x. */
KCL_FN lanes kcl_exp(lanes x)
{
#ifdef KCL_REAL_F64
    x = kcl_at_most_(kcl_at_least_(x, -746.0), 710.0);
    const lanes n = fma(x, (lanes)(0x1.71547652b82fep+0), (lanes)(KCL_MAGIC_)) - (lanes)(KCL_MAGIC_);
    const lanes r = fma(n, (lanes)(-0x1.ef35793c76730p-45), fma(n, (lanes)(-0x1.62e42fefa38p-1), x));
    lanes q = (lanes)(0x1.acfc473af6aeap-26);
    KCL_STEP_(q, r, 0x1.28aab0b454708p-22);
    KCL_STEP_(q, r, 0x1.71df7e1d63638p-19);
    KCL_STEP_(q, r, 0x1.a0199d8a15142p-16);
    KCL_STEP_(q, r, 0x1.a01a00ff40f8ap-13);
    KCL_STEP_(q, r, 0x1.6c16c1829a874p-10);
    KCL_STEP_(q, r, 0x1.11111111307edp-7);
    KCL_STEP_(q, r, 0x1.55555555511a3p-5);
    KCL_STEP_(q, r, 0x1.55555555554d3p-3);
    KCL_STEP_(q, r, 0x1.0000000000007p-1);
#else
    x = kcl_at_most_(kcl_at_least_(x, -104.0f), 89.0f);
    const lanes n = fma(x, (lanes)(0x1.715476p+0f), (lanes)(KCL_MAGIC_)) - (lanes)(KCL_MAGIC_);
    const lanes r = fma(n, (lanes)(-0x1.7f7d1cp-20f), fma(n, (lanes)(-0x1.62e4p-1f), x));
    lanes q = (lanes)(0x1.693f02p-10f);
    KCL_STEP_(q, r, 0x1.123afcp-7f);
    KCL_STEP_(q, r, 0x1.555a68p-5f);
    KCL_STEP_(q, r, 0x1.555490p-3f);
    KCL_STEP_(q, r, 0x1.fffffap-2f);
#endif
    return kcl_scale_(fma(r * r, q, r) + (lanes)(KCL_R(1.0)), n);
}

KCL_SCALAR_(kcl_exp2)
KCL_SCALAR_(kcl_exp2_nonpos)
KCL_SCALAR_(kcl_exp)

/* ---- Logarithms -------------------------------------------------------------------------------------------------- */

/* x = 2^e (1 + f) with 1 + f between sqrt(1/2) and sqrt(2), for positive finite x: returns f. */
KCL_FN lanes kcl_split_(lanes x, lanes *e)
{
    const lanes normal = x < (lanes)(KCL_MIN_NORMAL_) ? x * (lanes)(KCL_SUBNORMAL_SCALE_) : x;
    const lanes shift = x < (lanes)(KCL_MIN_NORMAL_) ? (lanes)(KCL_SUBNORMAL_SHIFT_) : (lanes)(KCL_R(0.0));
    const ilanes bits = kcl_as_ilanes_(normal) + (ilanes)(KCL_ONE_BITS_ - KCL_SQRT_HALF_BITS_);
    const ilanes exponent = kcl_as_ilanes_(kcl_as_ulanes_(bits) >> KCL_MANTISSA_);
    *e = kcl_as_lanes_(exponent | (ilanes)(KCL_TWO_52_BITS_)) - (lanes)(KCL_TWO_52_ + KCL_BIAS_) - shift;
    return kcl_as_lanes_((bits & (ilanes)(KCL_MANTISSA_BITS_)) + (ilanes)(KCL_SQRT_HALF_BITS_)) - (lanes)(KCL_R(1.0));
}

/* log(1 + f) - f for the f of kcl_split_. */
KCL_FN lanes kcl_log1p_rest_(lanes f)
{
#ifdef KCL_REAL_F64
    lanes p = (lanes)(0x1.ac74e53bd186ap-6);
    KCL_STEP_(p, f, -0x1.ea055c5b60495p-5);
    KCL_STEP_(p, f, 0x1.0a620ab26225ap-4);
    KCL_STEP_(p, f, -0x1.d11fc4e4ad477p-5);
    KCL_STEP_(p, f, 0x1.d05a8098612b1p-5);
    KCL_STEP_(p, f, -0x1.fba1c4ec5405ep-5);
    KCL_STEP_(p, f, 0x1.11ccff2d3406ap-4);
    KCL_STEP_(p, f, -0x1.24d74e6e36ecfp-4);
    KCL_STEP_(p, f, 0x1.3b0b89241b2d0p-4);
    KCL_STEP_(p, f, -0x1.5550ee792e0bbp-4);
    KCL_STEP_(p, f, 0x1.745d3f1cb827bp-4);
    KCL_STEP_(p, f, -0x1.9999c26b1bbcdp-4);
    KCL_STEP_(p, f, 0x1.c71c71e013522p-4);
    KCL_STEP_(p, f, -0x1.ffffff2bf705ep-4);
    KCL_STEP_(p, f, 0x1.24924922a3ea7p-3);
    KCL_STEP_(p, f, -0x1.555555566b372p-3);
    KCL_STEP_(p, f, 0x1.999999999f755p-3);
    KCL_STEP_(p, f, -0x1.fffffffffef14p-3);
    KCL_STEP_(p, f, 0x1.5555555555533p-2);
#else
    lanes p = (lanes)(-0x1.38b6fap-4f);
    KCL_STEP_(p, f, 0x1.055bb6p-3f);
    KCL_STEP_(p, f, -0x1.0d8518p-3f);
    KCL_STEP_(p, f, 0x1.22da0ep-3f);
    KCL_STEP_(p, f, -0x1.547248p-3f);
    KCL_STEP_(p, f, 0x1.99a00ap-3f);
    KCL_STEP_(p, f, -0x1.000226p-2f);
    KCL_STEP_(p, f, 0x1.555554p-2f);
#endif
    KCL_STEP_(p, f, KCL_R(-0.5));
    return f * f * p;
}

/* The logarithm of x, any base, where `value` is right for positive finite x. */
KCL_FN lanes kcl_log_special_(lanes x, lanes value)
{
    const lanes rest = x == (lanes)(KCL_R(0.0)) ? -KCL_INFINITY_ : KCL_NAN_;
    value = x > (lanes)(KCL_R(0.0)) ? value : rest;
    return x == KCL_INFINITY_ ? x : value;
}

#ifdef KCL_REAL_F64
#define KCL_LOG2E_ 0x1.71547652b82fep+0
#define KCL_LOG2E_REST_ 0x1.777d0ffda0d24p-56
#define KCL_TWO_THIRDS_ 0x1.5555555555555p-1
#define KCL_LN2_ 0x1.62e42fefa38p-1 /* few bits: its product with an exponent is exact */
#define KCL_LN2_REST_ 0x1.ef35793c7673p-45
#else
#define KCL_LOG2E_ 0x1.715476p+0f
#define KCL_LOG2E_REST_ 0x1.4ae0cp-26f
#define KCL_TWO_THIRDS_ 0x1.555554p-1f
#define KCL_LN2_ 0x1.62e4p-1f
#define KCL_LN2_REST_ 0x1.7f7d1cp-20f
#endif

/* Logarithm to base 2. */
KCL_FN lanes kcl_log2(lanes x)
{
    lanes e;
    const lanes f = kcl_split_(x, &e);
    const lanes rest = fma(f, (lanes)(KCL_LOG2E_REST_), kcl_log1p_rest_(f) * (lanes)(KCL_LOG2E_));
    return kcl_log_special_(x, e + fma(f, (lanes)(KCL_LOG2E_), rest));
}

/* Natural logarithm. */
KCL_FN lanes kcl_log(lanes x)
{
    lanes e;
    const lanes f = kcl_split_(x, &e);
    const lanes rest = fma(e, (lanes)(KCL_LN2_REST_), kcl_log1p_rest_(f));
    return kcl_log_special_(x, fma(e, (lanes)(KCL_LN2_), f + rest));
}

KCL_SCALAR_(kcl_log2)
KCL_SCALAR_(kcl_log)

/* ---- Powers ------------------------------------------------------------------------------------------------------ */

KCL_FN lanes kcl_square(lanes x)
{
    return x * x;
}

KCL_FN lanes kcl_inv(lanes x)
{
    return (lanes)(KCL_R(1.0)) / x;
}

KCL_FN lanes kcl_sqrt(lanes x)
{
    return sqrt(x);
}

/* 1/sqrt(x), but 0 at 0: the value that makes derivatives of roots and norms finite there. */
KCL_FN lanes kcl_rsqrt(lanes x)
{
    const lanes zero = (lanes)(KCL_R(0.0));
#ifdef KCL_AVX512_
    /* Newton's method on the estimate (for double first a step of third order); it makes NaN of 0 and infinity. */
    lanes y = kcl_rsqrt14_(x);
    lanes e = fma(-(x * y), y, (lanes)(KCL_R(1.0)));
#ifdef KCL_REAL_F64
    y = fma(y * e, fma(e, (lanes)(0.375), (lanes)(0.5)), y);
    e = fma(-(x * y), y, (lanes)(1.0));
#endif
    return x == zero || x == KCL_INFINITY_ ? zero : fma(y * e, (lanes)(KCL_R(0.5)), y);
#else
    return x == zero ? zero : (lanes)(KCL_R(1.0)) / sqrt(x);
#endif
}

/*
 * x^n by products; n is a constant, so the loop is gone after compilation. x^0 is 1. The inverse comes first: the power
 * of a large x may overflow where that of 1/x is still a number.
 */
KCL_FN lanes kcl_powi(lanes x, int n)
{
    x = n < 0 ? kcl_inv(x) : x;
    lanes power = (lanes)(KCL_R(1.0));
    for (uint m = n < 0 ? 0u - (uint)n : (uint)n; m != 0; m >>= 1) {
        if (m & 1) {
            power *= x;
        }
        x *= x;
    }
    return power;
}

/*
 * x^y with the special cases of C's pow. y log2(x) is carried as a sum of two numbers, else its rounding would grow to
 * many ulps of the result.
 */
KCL_FN lanes kcl_powf(lanes x, lanes y)
{
    const lanes zero = (lanes)(KCL_R(0.0)), one = (lanes)(KCL_R(1.0));
    const lanes a = fabs(x);

    /* log(1 + f) = 2 s + s z (c + z r(z)) with s + s_rest = f / (2 + f) and z = s^2 */
    lanes e;
    const lanes f = kcl_split_(a, &e);
    const lanes d = f + (lanes)(KCL_R(2.0));
    const lanes d_rest = f - (d - (lanes)(KCL_R(2.0)));
    const lanes s = f / d;
    const lanes s_rest = fma(-s, d_rest, fma(-s, d, f)) / d;
    const lanes z = s * s;
#ifdef KCL_REAL_F64
    lanes r = (lanes)(0x1.0f0fa0abd4eb6p-3);
    KCL_STEP_(r, z, 0x1.0f67177242178p-3);
    KCL_STEP_(r, z, 0x1.3b20262d7ce11p-3);
    KCL_STEP_(r, z, 0x1.745ce1c116af3p-3);
    KCL_STEP_(r, z, 0x1.c71c724b77aa7p-3);
    KCL_STEP_(r, z, 0x1.249249243978bp-2);
    KCL_STEP_(r, z, 0x1.9999999999d11p-2);
#else
    lanes r = (lanes)(0x1.f13a9ap-3f);
    KCL_STEP_(r, z, 0x1.23d3e0p-2f);
    KCL_STEP_(r, z, 0x1.999c26p-2f);
#endif
    /* w + w_rest = z (c + z r) and s w + p_rest, each with the rounding that is lost in it */
    const lanes z_rest = fma(s, s, -z) + (s + s) * s_rest;
    const lanes c = (lanes)(KCL_TWO_THIRDS_);
    const lanes q = fma(z, r, c);
    const lanes q_rest = fma(z, r, c - q);
    const lanes w = z * q;
    const lanes w_rest = fma(z, q, -w) + fma(z, q_rest, z_rest * q);
    const lanes p = s * w;
    const lanes p_rest = fma(s, w, -p) + fma(s, w_rest, s_rest * w);
    const lanes log_high = (s + s) + p;
    const lanes log_low = (((s + s) - log_high) + p) + (p_rest + (s_rest + s_rest));

    /* log2(a) = high + low */
    const lanes product = log_high * (lanes)(KCL_LOG2E_);
    const lanes product_rest =
        fma(log_high, (lanes)(KCL_LOG2E_), -product) +
        fma(log_high, (lanes)(KCL_LOG2E_REST_), log_low * (lanes)(KCL_LOG2E_));
    const lanes sum = e + product;
    const lanes sum_rest = (product - (sum - e)) + product_rest;
    const lanes high = sum + sum_rest;
    const lanes low = sum_rest - (high - sum);

    const lanes t = kcl_at_most_(kcl_at_least_(y * high, -KCL_MAX_EXPONENT_), KCL_MAX_EXPONENT_);
    const lanes t_rest = fabs(t) == (lanes)(KCL_MAX_EXPONENT_) ? zero : fma(y, high, -t) + y * low;
    const lanes n = (t + (lanes)(KCL_MAGIC_)) - (lanes)(KCL_MAGIC_);
    lanes power = kcl_scale_(kcl_exp2_polynomial_((t - n) + t_rest, KCL_R(1.0)), n);

    power = a == zero || a == KCL_INFINITY_ ? ((a == zero) == (y < zero) ? KCL_INFINITY_ : zero) : power;
    power = fabs(y) == KCL_INFINITY_ ? ((a > one) == (y > zero) ? KCL_INFINITY_ : zero) : power;
    power = x != x || y != y ? x + y : power;

    const lanes half_y = y * (lanes)(KCL_R(0.5));
    const lanes signed_power = y == rint(y) && half_y != rint(half_y) ? -power : power;
    power = x < zero || (x == zero && one / x < zero) ? signed_power : power;
    power = x < zero && y != rint(y) && a != KCL_INFINITY_ ? KCL_NAN_ : power;
    return y == zero || x == one || (a == one && fabs(y) == KCL_INFINITY_) ? one : power;
}

KCL_SCALAR_(kcl_square)
KCL_SCALAR_(kcl_inv)
KCL_SCALAR_(kcl_sqrt)
KCL_SCALAR_(kcl_rsqrt)

#if KCL_LANES > 1
KCL_FN real kcl_powi(real x, int n)
{
    return kcl_powi((lanes)(x), n).s0;
}

KCL_FN real kcl_powf(real x, real y)
{
    return kcl_powf((lanes)(x), (lanes)(y)).s0;
}

KCL_FN lanes kcl_powf(lanes x, real y)
{
    return kcl_powf(x, (lanes)(y));
}

KCL_FN lanes kcl_powf(real x, lanes y)
{
    return kcl_powf((lanes)(x), y);
}
#endif

/* ---- The rest ---------------------------------------------------------------------------------------------------- */

KCL_FN lanes kcl_sin(lanes x)
{
    return sin(x);
}

KCL_FN lanes kcl_cos(lanes x)
{
    return cos(x);
}

KCL_FN lanes kcl_abs(lanes x)
{
    return fabs(x);
}

/* -1, 0 or 1; NaN stays NaN. */
KCL_FN lanes kcl_sign(lanes x)
{
    const lanes zero = (lanes)(KCL_R(0.0));
    return x > zero ? (lanes)(KCL_R(1.0)) : (x < zero ? (lanes)(KCL_R(-1.0)) : x);
}

/* Largest whole number not above x. */
KCL_FN lanes kcl_floor(lanes x)
{
    return floor(x);
}

/* x to n decimals, half away from zero; n is a constant. Numbers that have no such decimals stay as they are. */
KCL_FN lanes kcl_round(lanes x, int n)
{
    real scale = KCL_R(1.0);
    for (int k = 0; k < (n < 0 ? -n : n); k++) {
        scale *= KCL_R(10.0);
    }
    const lanes scaled = n < 0 ? x / (lanes)(scale) : x * (lanes)(scale);
    const lanes whole = round(scaled);
    return fabs(scaled) < (lanes)(KCL_TWO_52_) ? (n < 0 ? whole * (lanes)(scale) : whole / (lanes)(scale)) : x;
}

/* 0 below 0, else 1. */
KCL_FN lanes kcl_step(lanes x)
{
    return x < (lanes)(KCL_R(0.0)) ? (lanes)(KCL_R(0.0)) : (lanes)(KCL_R(1.0));
}

/* 0 below 0, else x; NaN stays NaN. */
KCL_FN lanes kcl_relu(lanes x)
{
    return x < (lanes)(KCL_R(0.0)) ? (lanes)(KCL_R(0.0)) : x;
}

/* x log(x), 0 at 0. */
KCL_FN lanes kcl_xlogx(lanes x)
{
    return x == (lanes)(KCL_R(0.0)) ? (lanes)(KCL_R(0.0)) : x * kcl_log(x);
}

KCL_FN lanes kcl_asin(lanes x)
{
    return asin(x);
}

KCL_FN lanes kcl_acos(lanes x)
{
    return acos(x);
}

KCL_FN lanes kcl_atan(lanes x)
{
    return atan(x);
}

KCL_FN lanes kcl_atan2(lanes y, lanes x)
{
    return atan2(y, x);
}

/*
 * j_n(x) / x^n, where j_n is the spherical Bessel function: sin(x)/x for n = 0, its derivatives are made of those that
 * follow. n is a constant. By the series below n + 1, where the recurrence that begins with sin(x)/x loses digits.
 */
KCL_FN lanes kcl_spherical(lanes x, int n)
{
    const lanes one = (lanes)(KCL_R(1.0)), zero = (lanes)(KCL_R(0.0)), square = x * x;
    lanes here = x == zero ? one : sin(x) / x;
    lanes before = cos(x);
    for (int k = 0; k < n; k++) {
        const lanes next = fma((lanes)((real)(2 * k + 1)), here, -before) / square;
        before = here;
        here = next;
    }
    here = fabs(x) == KCL_INFINITY_ ? zero : here;
    if (n == 0) {
        return here;
    }
    lanes sum = one;
    for (int k = (sizeof(real) == 4 ? 8 : 14) + 2 * n; k > 0; k--) {
        sum = fma(square * (lanes)(KCL_R(-1.0) / (real)(2 * k * (2 * n + 2 * k + 1))), sum, one);
    }
    for (int k = n; k > 0; k--) {
        sum *= (lanes)(KCL_R(1.0) / (real)(2 * k + 1));
    }
    return fabs(x) < (lanes)((real)(n + 1)) ? sum : here;
}

/* ---- Comparisons ------------------------------------------------------------------------------------------------- */

/* 1 where the comparison holds, else 0; with NaN none does but x != y. */
#define KCL_COMPARISON_(name, sign)                                                                                    \
    KCL_FN lanes name(lanes x, lanes y)                                                                                \
    {                                                                                                                  \
        return x sign y ? (lanes)(KCL_R(1.0)) : (lanes)(KCL_R(0.0));                                                   \
    }

KCL_COMPARISON_(kcl_equal, ==)
KCL_COMPARISON_(kcl_not_equal, !=)
KCL_COMPARISON_(kcl_less, <)
KCL_COMPARISON_(kcl_less_equal, <=)

/* y where x >= 0, else z. */
KCL_FN lanes kcl_ifelse(lanes x, lanes y, lanes z)
{
    return x >= (lanes)(KCL_R(0.0)) ? y : z;
}

KCL_SCALAR_(kcl_floor)
KCL_SCALAR_(kcl_step)
KCL_SCALAR_(kcl_relu)
KCL_SCALAR_(kcl_xlogx)
KCL_SCALAR_(kcl_asin)
KCL_SCALAR_(kcl_acos)
KCL_SCALAR_(kcl_atan)
KCL_SCALAR_OF_TWO_(kcl_atan2)
KCL_SCALAR_OF_TWO_(kcl_equal)
KCL_SCALAR_OF_TWO_(kcl_not_equal)
KCL_SCALAR_OF_TWO_(kcl_less)
KCL_SCALAR_OF_TWO_(kcl_less_equal)

#if KCL_LANES > 1
KCL_FN real kcl_round(real x, int n)
{
    return kcl_round((lanes)(x), n).s0;
}

KCL_FN real kcl_spherical(real x, int n)
{
    return kcl_spherical((lanes)(x), n).s0;
}

KCL_FN real kcl_ifelse(real x, real y, real z)
{
    return kcl_ifelse((lanes)(x), (lanes)(y), (lanes)(z)).s0;
}
#endif

KCL_SCALAR_(kcl_sin)
KCL_SCALAR_(kcl_cos)
KCL_SCALAR_(kcl_abs)
KCL_SCALAR_(kcl_sign)
