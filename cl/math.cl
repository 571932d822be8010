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
 *     #define KCL_NATIVE       GPUs: float32 powers of 2 and rsqrt by the device, to 2.5 ulps; sin, cos and tan by the driver
 *     #define KCL_MANY_PERIODIC   sin, cos and tan by the driver: slower, but fast to compile where there are many. On GPUs,
 *                              where they are the driver's anyway: by functions that are called, one lane after another
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
#define KCL_SIGN_BIT_ (-0x7fffffffffffffffL - 1)
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
#define KCL_SIGN_BIT_ (-0x7fffffff - 1)
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

/* The size of x with the sign of y. */
KCL_FN lanes kcl_with_sign_(lanes x, lanes y)
{
    const ilanes sign = (ilanes)(KCL_SIGN_BIT_);
    return kcl_as_lanes_((kcl_as_ilanes_(x) & ~sign) | (kcl_as_ilanes_(y) & sign));
}

/* 2^n for integers n from 1 - KCL_BIAS_ to KCL_BIAS_. */
KCL_FN lanes kcl_power_of_two_(lanes n)
{
    return kcl_as_lanes_(kcl_as_ilanes_(n + (lanes)(KCL_MAGIC_ + KCL_BIAS_)) << KCL_MANTISSA_);
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

/*
 * e^(x - rest) = 2^n (1 + p), p of the result between 2^-1/2 - 1 and 2^1/2 - 1: n log(2) is taken off in two parts, so no
 * accuracy is lost for large x. `rest` is small, and exp(x) must not be far outside of the type's range.
 */
KCL_FN lanes kcl_exp_split_(lanes x, lanes rest, lanes *n)
{
#ifdef KCL_REAL_F64
    *n = fma(x, (lanes)(0x1.71547652b82fep+0), (lanes)(KCL_MAGIC_)) - (lanes)(KCL_MAGIC_);
    const lanes r = fma(*n, (lanes)(-0x1.ef35793c76730p-45), fma(*n, (lanes)(-0x1.62e42fefa38p-1), x)) - rest;
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
    *n = fma(x, (lanes)(0x1.715476p+0f), (lanes)(KCL_MAGIC_)) - (lanes)(KCL_MAGIC_);
    const lanes r = fma(*n, (lanes)(-0x1.7f7d1cp-20f), fma(*n, (lanes)(-0x1.62e4p-1f), x)) - rest;
    lanes q = (lanes)(0x1.693f02p-10f);
    KCL_STEP_(q, r, 0x1.123afcp-7f);
    KCL_STEP_(q, r, 0x1.555a68p-5f);
    KCL_STEP_(q, r, 0x1.555490p-3f);
    KCL_STEP_(q, r, 0x1.fffffap-2f);
#endif
    return fma(r * r, q, r);
}

#ifdef KCL_REAL_F64
#define KCL_EXP_LEAST_ (-746.0) /* below, e^x is 0 */
#define KCL_EXP_MOST_ 711.0     /* above, e^x and its half are infinite */
#else
#define KCL_EXP_LEAST_ (-104.0f)
#define KCL_EXP_MOST_ 90.0f
#endif

/* e^x. */
KCL_FN lanes kcl_exp(lanes x)
{
    lanes n;
    x = kcl_at_most_(kcl_at_least_(x, KCL_EXP_LEAST_), KCL_EXP_MOST_);
    const lanes p = kcl_exp_split_(x, (lanes)(KCL_R(0.0)), &n);
    return kcl_scale_(p + (lanes)(KCL_R(1.0)), n);
}

/* e^x - 1: near 0 nothing cancels, as 1 is added to a p of x itself. */
KCL_FN lanes kcl_expm1(lanes x)
{
    lanes n;
    const lanes within = kcl_at_most_(kcl_at_least_(x, KCL_R(-40.0)), KCL_EXP_MOST_ - KCL_R(1.0));
    const lanes p = kcl_exp_split_(within, (lanes)(KCL_R(0.0)), &n);
    const lanes scale = kcl_power_of_two_(n - (lanes)(KCL_R(1.0))); /* half of 2^n, which may be out of range */
    const lanes far = fma(scale, p, scale - (lanes)(KCL_R(0.5)));
    return kcl_with_sign_(n == (lanes)(KCL_R(0.0)) ? p : far + far, x);
}

/* e^|x| / 2, which is finite up to where sinh and cosh are. */
KCL_FN lanes kcl_half_exp_(lanes x)
{
    lanes n;
    const lanes p = kcl_exp_split_(kcl_at_most_(fabs(x), KCL_EXP_MOST_), (lanes)(KCL_R(0.0)), &n);
    return kcl_scale_(p + (lanes)(KCL_R(1.0)), n - (lanes)(KCL_R(1.0)));
}

/* Up to 1 an odd polynomial, of error 2^-25.3 (double: 2^-61.8). */
KCL_FN lanes kcl_sinh(lanes x)
{
    const lanes half_exp = kcl_half_exp_(x), a = fabs(x), z = x * x;
#ifdef KCL_REAL_F64
    lanes p = (lanes)(0x1.b5c89b635f907p-41);
    KCL_STEP_(p, z, 0x1.6116f4993a03cp-33);
    KCL_STEP_(p, z, 0x1.ae646ff512cefp-26);
    KCL_STEP_(p, z, 0x1.71de3a3b06bb6p-19);
    KCL_STEP_(p, z, 0x1.a01a01a037269p-13);
    KCL_STEP_(p, z, 0x1.111111111101ep-7);
    KCL_STEP_(p, z, 0x1.5555555555556p-3);
#else
    lanes p = (lanes)(0x1.ab429p-13f);
    KCL_STEP_(p, z, 0x1.10f76p-7f);
    KCL_STEP_(p, z, 0x1.555598p-3f);
#endif
    const lanes far = half_exp - (lanes)(KCL_R(0.25)) / half_exp;
    return kcl_with_sign_(a < (lanes)(KCL_R(1.0)) ? fma(a * z, p, a) : far, x);
}

KCL_FN lanes kcl_cosh(lanes x)
{
    const lanes half_exp = kcl_half_exp_(x);
    return half_exp + (lanes)(KCL_R(0.25)) / half_exp;
}

/* 1 to the last place from 20 on. */
KCL_FN lanes kcl_tanh(lanes x)
{
    const lanes e = kcl_expm1((lanes)(KCL_R(2.0)) * kcl_at_most_(fabs(x), KCL_R(20.0)));
    return kcl_with_sign_(e / (e + (lanes)(KCL_R(2.0))), x);
}

/* 1 / (1 + e^-x), by e^-|x|, which does not overflow: small results keep their digits. */
KCL_FN lanes kcl_sigmoid(lanes x)
{
    const lanes one = (lanes)(KCL_R(1.0)), e = kcl_exp(-fabs(x));
    return (x < (lanes)(KCL_R(0.0)) ? e : one) / (one + e);
}

/* 1 / cosh(x), which keeps its digits where that overflows. */
KCL_FN lanes kcl_sech(lanes x)
{
    const lanes e = kcl_exp(-fabs(x));
    return (e + e) / fma(e, e, (lanes)(KCL_R(1.0)));
}

KCL_SCALAR_(kcl_exp2)
KCL_SCALAR_(kcl_exp2_nonpos)
KCL_SCALAR_(kcl_exp)
KCL_SCALAR_(kcl_expm1)
KCL_SCALAR_(kcl_sinh)
KCL_SCALAR_(kcl_cosh)
KCL_SCALAR_(kcl_tanh)
KCL_SCALAR_(kcl_sigmoid)
KCL_SCALAR_(kcl_sech)

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

/*
 * log(1 + f) - f for the f of kcl_split_. A division and an odd polynomial in f / (2 + f), of error 2^-59.5, take less time
 * on CPUs than a polynomial in f does, in double.
 */
KCL_FN lanes kcl_log1p_rest_(lanes f)
{
#ifdef KCL_REAL_F64
#ifdef KCL_NATIVE
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
    KCL_STEP_(p, f, -0.5);
    return f * f * p;
#else
    const lanes s = f / (f + (lanes)(2.0)), z = s * s, h = f * f * (lanes)(0.5);
    lanes p = (lanes)(0x1.2f055a8a12745p-3);
    KCL_STEP_(p, z, 0x1.39a1c5e074380p-3);
    KCL_STEP_(p, z, 0x1.74663e059d1d0p-3);
    KCL_STEP_(p, z, 0x1.c71c52104a297p-3);
    KCL_STEP_(p, z, 0x1.24924941e4a08p-2);
    KCL_STEP_(p, z, 0x1.999999997fefcp-2);
    KCL_STEP_(p, z, 0x1.5555555555592p-1);
    return fma(s, fma(z, p, h), -h);
#endif
#else
    lanes p = (lanes)(-0x1.38b6fap-4f);
    KCL_STEP_(p, f, 0x1.055bb6p-3f);
    KCL_STEP_(p, f, -0x1.0d8518p-3f);
    KCL_STEP_(p, f, 0x1.22da0ep-3f);
    KCL_STEP_(p, f, -0x1.547248p-3f);
    KCL_STEP_(p, f, 0x1.99a00ap-3f);
    KCL_STEP_(p, f, -0x1.000226p-2f);
    KCL_STEP_(p, f, 0x1.555554p-2f);
    KCL_STEP_(p, f, -0.5f);
    return f * f * p;
#endif
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

/* log(2^e (1 + f)). */
KCL_FN lanes kcl_log_join_(lanes e, lanes f)
{
    const lanes rest = fma(e, (lanes)(KCL_LN2_REST_), kcl_log1p_rest_(f));
    return fma(e, (lanes)(KCL_LN2_), f + rest);
}

/* Natural logarithm. */
KCL_FN lanes kcl_log(lanes x)
{
    lanes e;
    const lanes f = kcl_split_(x, &e);
    return kcl_log_special_(x, kcl_log_join_(e, f));
}

/*
 * log(1 + t), or where `far` log(2 t): the rounding of 1 + t is added to f after 1 + t was split, so that nothing is lost
 * where t is small. 0 and infinity as log has them; NaN below -1.
 */
KCL_FN lanes kcl_log_of_sum_(lanes t, ilanes far)
{
    const lanes one = (lanes)(KCL_R(1.0)), zero = (lanes)(KCL_R(0.0));
    const lanes sum = one + t, back = sum - one;
    const lanes u = far ? t : sum, rest = far ? zero : (one - (sum - back)) + (t - back);
    const ilanes bits = kcl_as_ilanes_(u) + (ilanes)(KCL_ONE_BITS_ - KCL_SQRT_HALF_BITS_);
    const ilanes exponent = kcl_as_ilanes_(kcl_as_ulanes_(bits) >> KCL_MANTISSA_);
    const lanes e = kcl_as_lanes_(exponent | (ilanes)(KCL_TWO_52_BITS_)) - (lanes)(KCL_TWO_52_ + KCL_BIAS_);
    const lanes m = kcl_as_lanes_((bits & (ilanes)(KCL_MANTISSA_BITS_)) + (ilanes)(KCL_SQRT_HALF_BITS_));
    /* 2^(1 - e), which is a number, or 0, for the largest e too */
    const lanes scale = kcl_as_lanes_(((ilanes)(2 * KCL_BIAS_ + 1) - exponent) << KCL_MANTISSA_);
    const lanes f = fma(rest, (lanes)(KCL_R(0.5)) * scale, m - one);
    return kcl_log_special_(u, kcl_log_join_(far ? e + one : e, f));
}

/* log(1 + x). */
KCL_FN lanes kcl_log1p(lanes x)
{
    return kcl_with_sign_(kcl_log_of_sum_(x, (ilanes)(0)), x);
}

/* log(1 + e^x): x or 0, and what e^-|x| adds to it. */
KCL_FN lanes kcl_softplus(lanes x)
{
    const lanes zero = (lanes)(KCL_R(0.0));
    return (x < zero ? zero : x) + kcl_log_of_sum_(kcl_exp(-fabs(x)), (ilanes)(0));
}

/* Above it, sqrt(x^2 + 1) and sqrt(x^2 - 1) are x to the last place. */
#ifdef KCL_REAL_F64
#define KCL_SQUARES_ONLY_ 0x1p28
#else
#define KCL_SQUARES_ONLY_ 0x1p13f
#endif

/* log(|x| + sqrt(x^2 + 1)) with the root's distance from 1. */
KCL_FN lanes kcl_asinh(lanes x)
{
    const lanes one = (lanes)(KCL_R(1.0)), a = fabs(x), z = x * x;
    const ilanes far = a > (lanes)(KCL_SQUARES_ONLY_);
    const lanes t = a + z / (one + sqrt(z + one));
    return kcl_with_sign_(kcl_log_of_sum_(far ? a : t, far), x);
}

/* log(x + sqrt(x^2 - 1)) by d = x - 1; NaN below 1. */
KCL_FN lanes kcl_acosh(lanes x)
{
    const lanes one = (lanes)(KCL_R(1.0)), d = x - one;
    const ilanes far = x > (lanes)(KCL_SQUARES_ONLY_);
    const lanes t = d + sqrt(fma(d, d, d + d));
    const lanes value = kcl_log_of_sum_(far ? x : t, far);
    return x < one ? KCL_NAN_ : value;
}

/* log((1 + x) / (1 - x)) / 2; infinite at -1 and 1, NaN beyond. */
KCL_FN lanes kcl_atanh(lanes x)
{
    const lanes a = fabs(x);
    const lanes t = (a + a) / ((lanes)(KCL_R(1.0)) - a);
    return kcl_with_sign_((lanes)(KCL_R(0.5)) * kcl_log_of_sum_(t, (ilanes)(0)), x);
}

KCL_SCALAR_(kcl_log2)
KCL_SCALAR_(kcl_log)
KCL_SCALAR_(kcl_log1p)
KCL_SCALAR_(kcl_softplus)
KCL_SCALAR_(kcl_asinh)
KCL_SCALAR_(kcl_acosh)
KCL_SCALAR_(kcl_atanh)

/* ---- The error function ------------------------------------------------------------------------------------------ */

/* erf(x) for |x| <= 1: x + x p(x^2) of error 2^-24.5 (double: 2^-56.0). */
KCL_FN lanes kcl_erf_near_(lanes x)
{
    const lanes z = x * x;
#ifdef KCL_REAL_F64
    lanes p = (lanes)(-0x1.a251836f8490ep-31);
    KCL_STEP_(p, z, 0x1.d3e388af8dc8dp-27);
    KCL_STEP_(p, z, -0x1.5b8d2d1d02562p-23);
    KCL_STEP_(p, z, 0x1.b96b72be8d724p-20);
    KCL_STEP_(p, z, -0x1.f4c8315b21acap-17);
    KCL_STEP_(p, z, 0x1.f9a296d489f30p-14);
    KCL_STEP_(p, z, -0x1.c02daeb8105edp-11);
    KCL_STEP_(p, z, 0x1.565bcceedf4efp-8);
    KCL_STEP_(p, z, -0x1.b82ce311a996ap-6);
    KCL_STEP_(p, z, 0x1.ce2f21a03f8bcp-4);
    KCL_STEP_(p, z, -0x1.812746b03799dp-2);
    KCL_STEP_(p, z, 0x1.06eba8214db68p-3);
#else
    lanes p = (lanes)(-0x1.2701f6p-11f);
    KCL_STEP_(p, z, 0x1.423214p-8f);
    KCL_STEP_(p, z, -0x1.b59e5ap-6f);
    KCL_STEP_(p, z, 0x1.ce08cp-4f);
    KCL_STEP_(p, z, -0x1.81267p-2f);
    KCL_STEP_(p, z, 0x1.06eba2p-3f);
#endif
    return fma(x, p, x);
}

/*
 * erfc(a) for a >= 0: (1 + 2 a) e^(a^2) erfc(a) is smooth up to infinity as a function of t = (a - K) / (a + K) (Shepherd
 * and Laframboise, Mathematics of Computation 36, 1981); K and the degree were searched for, the polynomial has a relative
 * error of 2^-25.0 (double: 2^-54.5). a^2 is a sum of two numbers, else its rounding would be many ulps.
 */
KCL_FN lanes kcl_erfc_positive_(lanes a)
{
    const lanes one = (lanes)(KCL_R(1.0));
#ifdef KCL_REAL_F64
    a = kcl_at_most_(a, 27.3); /* erfc is 0 there */
    const lanes k = (lanes)(4.25);
#else
    a = kcl_at_most_(a, 10.1f);
    const lanes k = (lanes)(2.0f);
#endif
    const lanes t = (a - k) / (a + k);
#ifdef KCL_REAL_F64
    lanes p = (lanes)(0x1.312f2c16a9e43p-28);
    KCL_STEP_(p, t, 0x1.18ac949b91ca2p-27);
    KCL_STEP_(p, t, -0x1.8f2131dff7babp-25);
    KCL_STEP_(p, t, -0x1.f5745e4f53119p-25);
    KCL_STEP_(p, t, 0x1.a9490b7fbbd7ap-22);
    KCL_STEP_(p, t, -0x1.cc290b6524b91p-28);
    KCL_STEP_(p, t, -0x1.9221063a034bap-19);
    KCL_STEP_(p, t, 0x1.6d7a54367f81dp-18);
    KCL_STEP_(p, t, 0x1.b613b3f0f68a6p-17);
    KCL_STEP_(p, t, -0x1.505fb28fde1c4p-14);
    KCL_STEP_(p, t, 0x1.f6495371e81f4p-14);
    KCL_STEP_(p, t, 0x1.70f774e6498ebp-12);
    KCL_STEP_(p, t, -0x1.5ebc9ed53dfeep-9);
    KCL_STEP_(p, t, 0x1.300b8ca0b78bap-7);
    KCL_STEP_(p, t, -0x1.78d5f89f02d15p-6);
    KCL_STEP_(p, t, 0x1.70b9cd829635cp-5);
    KCL_STEP_(p, t, -0x1.25f65dc02564cp-4);
    KCL_STEP_(p, t, 0x1.7c79a3549ab42p-4);
    KCL_STEP_(p, t, -0x1.7ac1f577fe4e8p-4);
    KCL_STEP_(p, t, 0x1.c388de44809acp-5);
    KCL_STEP_(p, t, 0x1.9cc62dd8086cfp-6);
    KCL_STEP_(p, t, -0x1.1b69a46b170cfp-3);
    KCL_STEP_(p, t, 0x1.3a9155546e37dp+0);
#else
    lanes p = (lanes)(-0x1.a40978p-12f);
    KCL_STEP_(p, t, -0x1.426b3p-10f);
    KCL_STEP_(p, t, 0x1.58551ap-10f);
    KCL_STEP_(p, t, 0x1.1ad7cep-7f);
    KCL_STEP_(p, t, -0x1.081b22p-7f);
    KCL_STEP_(p, t, -0x1.bc0aa8p-5f);
    KCL_STEP_(p, t, 0x1.4ffc4p-3f);
    KCL_STEP_(p, t, -0x1.540848p-3f);
    KCL_STEP_(p, t, -0x1.7bf616p-4f);
    KCL_STEP_(p, t, 0x1.46e80ep+0f);
#endif
    lanes n;
    const lanes square = a * a;
    const lanes e = kcl_exp_split_(-square, fma(a, a, -square), &n);
    const lanes q = p / fma((lanes)(KCL_R(2.0)), a, one);
    return kcl_scale_(fma(e, q, q), n);
}

/* The integral of 2/sqrt(pi) e^(-t^2) over t from 0 to x. */
KCL_FN lanes kcl_erf(lanes x)
{
    const lanes one = (lanes)(KCL_R(1.0)), a = fabs(x);
    return kcl_with_sign_(a < one ? kcl_erf_near_(a) : one - kcl_erfc_positive_(a), x);
}

/* 1 - erf(x), which keeps its digits as it becomes small. Next to 0 the rounding of t would be several ulps. */
KCL_FN lanes kcl_erfc(lanes x)
{
    const lanes one = (lanes)(KCL_R(1.0)), a = fabs(x), positive = kcl_erfc_positive_(a);
    const lanes far = x < (lanes)(KCL_R(0.0)) ? (lanes)(KCL_R(2.0)) - positive : positive;
    return a < (lanes)(KCL_R(0.5)) ? one - kcl_erf_near_(x) : far;
}

KCL_SCALAR_(kcl_erf)
KCL_SCALAR_(kcl_erfc)

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
#elif defined(KCL_NATIVE) && defined(KCL_REAL_F32)
    return x == zero ? zero : rsqrt(x);
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

/*
 * x = n pi/2 + r with |r| <= pi/4, for |x| up to KCL_NEAR_; *quadrant has n in its low bits. pi/2 is taken off in three parts:
 * the first product leaves an exact difference, so does the second where r is small next to it. Hence r is off by little
 * more than half a unit in its last place next to multiples of pi/2 too.
 */
#ifdef KCL_REAL_F64
#define KCL_NEAR_ 0x1p30
#define KCL_TWO_OVER_PI_ 0x1.45f306dc9c883p-1
#define KCL_HALF_PI_1_ 0x1.921fb54442d18p+0
#define KCL_HALF_PI_2_ 0x1.1a62633145c07p-54
#define KCL_HALF_PI_3_ -0x1.f1976b7ed8fbcp-110
#else
#define KCL_NEAR_ 0x1p17f
#define KCL_TWO_OVER_PI_ 0x1.45f306p-1f
#define KCL_HALF_PI_1_ 0x1.921fb6p+0f
#define KCL_HALF_PI_2_ -0x1.777a5cp-25f
#define KCL_HALF_PI_3_ -0x1.ee59dap-50f
#endif
KCL_FN lanes kcl_quadrant_(lanes x, ilanes *quadrant)
{
    const lanes shifted = fma(x, (lanes)(KCL_TWO_OVER_PI_), (lanes)(KCL_MAGIC_));
    const lanes n = shifted - (lanes)(KCL_MAGIC_);
    const lanes r = fma(n, (lanes)(-KCL_HALF_PI_2_), fma(n, (lanes)(-KCL_HALF_PI_1_), x));
    *quadrant = kcl_as_ilanes_(shifted);
    return n == (lanes)(KCL_R(0.0)) ? x : fma(n, (lanes)(-KCL_HALF_PI_3_), r); /* -0 */
}

/* Sine and cosine of |r| <= pi/4; polynomials of error 2^-27.9 and 2^-33.0 (double: 2^-57.9 and 2^-63.9). */
KCL_FN lanes kcl_sin_cos_(lanes r, lanes *cosine)
{
    const lanes z = r * r;
#ifdef KCL_REAL_F64
    lanes s = (lanes)(0x1.5d8b55acc748ep-33);
    KCL_STEP_(s, z, -0x1.ae5e4b841f785p-26);
    KCL_STEP_(s, z, 0x1.71de35552b7dcp-19);
    KCL_STEP_(s, z, -0x1.a01a019be9218p-13);
    KCL_STEP_(s, z, 0x1.111111110f730p-7);
    KCL_STEP_(s, z, -0x1.5555555555548p-3);
    lanes c = (lanes)(-0x1.8fa5ec6a125bap-37);
    KCL_STEP_(c, z, 0x1.1ee9dacb68266p-29);
    KCL_STEP_(c, z, -0x1.27e4f7f050069p-22);
    KCL_STEP_(c, z, 0x1.a01a019c8dd1dp-16);
    KCL_STEP_(c, z, -0x1.6c16c16c1500dp-10);
    KCL_STEP_(c, z, 0x1.555555555554bp-5);
#else
    lanes s = (lanes)(-0x1.9953p-13f);
    KCL_STEP_(s, z, 0x1.110776p-7f);
    KCL_STEP_(s, z, -0x1.555546p-3f);
    lanes c = (lanes)(0x1.99e82ap-16f);
    KCL_STEP_(c, z, -0x1.6c0c28p-10f);
    KCL_STEP_(c, z, 0x1.55554ap-5f);
#endif
    KCL_STEP_(c, z, KCL_R(-0.5));
    KCL_STEP_(c, z, KCL_R(1.0));
    *cosine = c;
    return kcl_with_sign_(fma(r * z, s, r), r); /* -0 stays -0 */
}

#if defined(KCL_NATIVE) && defined(KCL_MANY_PERIODIC)
#define KCL_PERIODIC_(name, of_driver, near)                                                                           \
    static __attribute__((noinline)) real name##_of_driver_(real x)                                                    \
    {                                                                                                                  \
        return of_driver(x);                                                                                           \
    }                                                                                                                  \
    KCL_FN lanes name(lanes x)                                                                                         \
    {                                                                                                                  \
        real lane[KCL_LANES];                                                                                          \
        KCL_VSTORE(x, lane);                                                                                           \
        for (int l = 0; l < KCL_LANES; l++)                                                                            \
            lane[l] = name##_of_driver_(lane[l]);                                                                      \
        return KCL_VLOAD(lane);                                                                                        \
    }
#elif defined(KCL_NATIVE) || defined(KCL_MANY_PERIODIC)
#define KCL_PERIODIC_(name, of_driver, near)                                                                           \
    KCL_FN lanes name(lanes x)                                                                                         \
    {                                                                                                                  \
        return of_driver(x);                                                                                           \
    }
#else
/* `near` of r and quadrant. Lanes with larger arguments are the driver's. */
#define KCL_PERIODIC_(name, of_driver, near)                                                                           \
    KCL_FN lanes name(lanes x)                                                                                         \
    {                                                                                                                  \
        ilanes quadrant;                                                                                               \
        const lanes r = kcl_quadrant_(x, &quadrant);                                                                   \
        const lanes value = near(r, quadrant);                                                                         \
        const ilanes far = fabs(x) > (lanes)(KCL_NEAR_);                                                               \
        return KCL_ANY(far) ? (far ? of_driver(x) : value) : value;                                                    \
    }
#endif

/* The sine of quadrant pi/2 + r. */
KCL_FN lanes kcl_sin_near_(lanes r, ilanes quadrant)
{
    lanes cosine;
    const lanes sine = kcl_sin_cos_(r, &cosine);
    const lanes value = (quadrant & (ilanes)(1)) != (ilanes)(0) ? cosine : sine;
    return kcl_as_lanes_(kcl_as_ilanes_(value) ^ ((quadrant & (ilanes)(2)) << (8 * (int)sizeof(real) - 2)));
}

KCL_FN lanes kcl_cos_near_(lanes r, ilanes quadrant)
{
    return kcl_sin_near_(r, quadrant + (ilanes)(1));
}

KCL_FN lanes kcl_tan_near_(lanes r, ilanes quadrant)
{
    lanes cosine;
    const lanes sine = kcl_sin_cos_(r, &cosine);
    const ilanes odd = (quadrant & (ilanes)(1)) != (ilanes)(0);
    return (odd ? cosine : sine) / (odd ? -sine : cosine);
}

KCL_PERIODIC_(kcl_sin, sin, kcl_sin_near_)
KCL_PERIODIC_(kcl_cos, cos, kcl_cos_near_)
KCL_PERIODIC_(kcl_tan, tan, kcl_tan_near_)

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

/* Smallest whole number not below x. */
KCL_FN lanes kcl_ceil(lanes x)
{
    return ceil(x);
}

/* x without its decimals. */
KCL_FN lanes kcl_trunc(lanes x)
{
    return trunc(x);
}

/* x to n decimals, half away from zero; n is a constant. Numbers that have no such decimals stay as they are. */
KCL_FN lanes kcl_round(lanes x, int n)
{
    if (n == 0) {
        return round(x);
    }
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

/* Squares of larger and smaller numbers, or of what these are multiplied by, are out of range. */
#ifdef KCL_REAL_F64
#define KCL_SQUARE_MOST_ 0x1p500
#define KCL_SQUARE_LEAST_ 0x1p-400
#define KCL_SQUARE_SCALE_ 0x1p600
#else
#define KCL_SQUARE_MOST_ 0x1p60f
#define KCL_SQUARE_LEAST_ 0x1p-40f
#define KCL_SQUARE_SCALE_ 0x1p80f
#endif

/* sqrt(x^2 + y^2) without overflow or underflow on the way; infinite where x or y is, even if the other one is NaN. */
KCL_FN lanes kcl_hypot(lanes x, lanes y)
{
    const lanes one = (lanes)(KCL_R(1.0)), up = (lanes)(KCL_SQUARE_SCALE_), down = one / up;
    const lanes a = fabs(x), b = fabs(y), most = a > b ? a : b;
    const ilanes large = most > (lanes)(KCL_SQUARE_MOST_), small = most < (lanes)(KCL_SQUARE_LEAST_);
    const lanes scale = large ? down : (small ? up : one), back = large ? up : (small ? down : one);
    const lanes u = a * scale, v = b * scale;
    const lanes value = sqrt(fma(u, u, v * v)) * back;
    return a == KCL_INFINITY_ || b == KCL_INFINITY_ ? KCL_INFINITY_ : value;
}

/*
 * 1 / hypot of x and y times *scale, which keeps squares in range; 0 for 0 and 0. The same number for y and x, so that
 * compilers find it once where a derivative has both.
 */
KCL_FN lanes kcl_scaled_hypot_(lanes x, lanes y, lanes *scale)
{
    const lanes one = (lanes)(KCL_R(1.0)), up = (lanes)(KCL_SQUARE_SCALE_), down = one / up;
    const ilanes large = fabs(x) > (lanes)(KCL_SQUARE_MOST_) || fabs(y) > (lanes)(KCL_SQUARE_MOST_);
    const ilanes small = fabs(x) < (lanes)(KCL_SQUARE_LEAST_) && fabs(y) < (lanes)(KCL_SQUARE_LEAST_);
    *scale = large ? down : (small ? up : one);
    const lanes u = x * *scale, v = y * *scale;
    return kcl_rsqrt(u * u + v * v);
}

KCL_FN lanes kcl_inverse_hypot(lanes x, lanes y)
{
    lanes scale;
    const lanes r = kcl_scaled_hypot_(x, y, &scale);
    return r * scale;
}

/* x / hypot(x, y), and 0 for 0 and 0. A small x is not made smaller, nor a large one larger. */
KCL_FN lanes kcl_hypot_ratio(lanes x, lanes y)
{
    lanes scale;
    const lanes r = kcl_scaled_hypot_(x, y, &scale);
    return scale < (lanes)(KCL_R(1.0)) ? x * r * scale : x * scale * r;
}

/* 1 - x^2, rounded once. */
KCL_FN lanes kcl_one_minus_square(lanes x)
{
    return fma(-x, x, (lanes)(KCL_R(1.0)));
}

/* The smaller and the larger of two; NaN where one is NaN. */
KCL_FN lanes kcl_minimum(lanes x, lanes y)
{
    return x <= y || x != x ? x : y;
}

KCL_FN lanes kcl_maximum(lanes x, lanes y)
{
    return x >= y || x != x ? x : y;
}

/*
 * j_n(x) / x^n, where j_n is the spherical Bessel function: sin(x)/x for n = 0, its derivatives are made of those that
 * follow. n is a constant. By the series below n + 1, where the recurrence that begins with sin(x)/x loses digits.
 */
KCL_FN lanes kcl_spherical(lanes x, int n)
{
    const lanes one = (lanes)(KCL_R(1.0)), zero = (lanes)(KCL_R(0.0)), square = x * x;
    lanes here = x == zero ? one : kcl_sin(x) / x;
    lanes before = kcl_cos(x);
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

/* Numbers as truth values: all but 0 are true, NaN too. */
#define KCL_LOGIC_(name, sign)                                                                                         \
    KCL_FN lanes name(lanes x, lanes y)                                                                                \
    {                                                                                                                  \
        const lanes zero = (lanes)(KCL_R(0.0));                                                                        \
        return x != zero sign y != zero ? (lanes)(KCL_R(1.0)) : zero;                                                  \
    }

KCL_LOGIC_(kcl_and, &&)
KCL_LOGIC_(kcl_or, ||)

KCL_FN lanes kcl_not(lanes x)
{
    return x == (lanes)(KCL_R(0.0)) ? (lanes)(KCL_R(1.0)) : (lanes)(KCL_R(0.0));
}

/* y where x >= 0, else z. */
KCL_FN lanes kcl_ifelse(lanes x, lanes y, lanes z)
{
    return x >= (lanes)(KCL_R(0.0)) ? y : z;
}

/* y where x is true, else z. */
KCL_FN lanes kcl_where(lanes x, lanes y, lanes z)
{
    return x != (lanes)(KCL_R(0.0)) ? y : z;
}

KCL_SCALAR_(kcl_floor)
KCL_SCALAR_(kcl_ceil)
KCL_SCALAR_(kcl_trunc)
KCL_SCALAR_(kcl_not)
KCL_SCALAR_(kcl_step)
KCL_SCALAR_(kcl_relu)
KCL_SCALAR_(kcl_xlogx)
KCL_SCALAR_(kcl_asin)
KCL_SCALAR_(kcl_acos)
KCL_SCALAR_(kcl_atan)
KCL_SCALAR_OF_TWO_(kcl_atan2)
KCL_SCALAR_OF_TWO_(kcl_hypot)
KCL_SCALAR_OF_TWO_(kcl_inverse_hypot)
KCL_SCALAR_OF_TWO_(kcl_hypot_ratio)
KCL_SCALAR_(kcl_one_minus_square)
KCL_SCALAR_OF_TWO_(kcl_minimum)
KCL_SCALAR_OF_TWO_(kcl_maximum)
KCL_SCALAR_OF_TWO_(kcl_and)
KCL_SCALAR_OF_TWO_(kcl_or)
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

KCL_FN real kcl_where(real x, real y, real z)
{
    return kcl_where((lanes)(x), (lanes)(y), (lanes)(z)).s0;
}
#endif

KCL_SCALAR_(kcl_sin)
KCL_SCALAR_(kcl_cos)
KCL_SCALAR_(kcl_tan)
KCL_SCALAR_(kcl_abs)
KCL_SCALAR_(kcl_sign)
