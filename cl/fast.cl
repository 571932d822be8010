/* SPDX-License-Identifier: MIT */
/*
 * cl/fast.cl: shorter forms of elementary functions, for operators whose `math` is "fast". Follows cl/math.cl and takes
 * the place of its functions in what comes after it; those that are not here have no shorter form.
 *
 *     #define KCL_SLOW_DIVIDER     quotients, and roots of doubles, by estimates where the processor has them
 *
 * Relative errors of a few 2^-18 in float and 2^-37 in double, measured in docs/accuracy.md, which tells the special
 * values too: NaN, infinities and zeros are treated as in cl/math.cl but for some signs of zeros; subnormal numbers may
 * become 0, and an argument of a logarithm counts as 2^-127 (double: 2^-1023) or more.
 */

/* ---- Division and roots ------------------------------------------------------------------------------------------ */

#if defined(KCL_AVX512_) && defined(KCL_SLOW_DIVIDER)
#ifdef KCL_REAL_F64
#if __has_builtin(__builtin_ia32_rcp14pd512_mask)
#define KCL_ESTIMATES_
#define kcl_reciprocal14_(x) __builtin_ia32_rcp14pd512_mask(x, x, (uchar)0xff)
#endif
#elif __has_builtin(__builtin_ia32_rcp14ps512_mask)
#define KCL_ESTIMATES_
#define kcl_reciprocal14_(x) __builtin_ia32_rcp14ps512_mask(x, x, (ushort)0xffff)
#endif
#endif

/* 1/x: an estimate and one step, which is left out where the estimate is 0 or infinite: it would make NaN of these. */
KCL_FN lanes kcl_fast_inv(lanes x)
{
#if defined(KCL_NATIVE) && defined(KCL_REAL_F32)
    return native_recip(x);
#elif defined(KCL_ESTIMATES_)
    const lanes y = kcl_reciprocal14_(x), e = fma(-x, y, (lanes)(KCL_R(1.0)));
#ifdef KCL_REAL_F64
    const lanes better = fma(fma(e, e, e), y, y);
#else
    const lanes better = fma(e, y, y);
#endif
    return e > (lanes)(KCL_R(-1.0)) ? better : y;
#else
    return (lanes)(KCL_R(1.0)) / x;
#endif
}

KCL_FN lanes kcl_fast_divide(lanes x, lanes y)
{
#if defined(KCL_NATIVE) && defined(KCL_REAL_F32)
    return native_divide(x, y);
#elif defined(KCL_ESTIMATES_)
    return x * kcl_fast_inv(y);
#else
    return x / y;
#endif
}

/* x^n as kcl_powi has it; -(n + 1) is in range for all negative n. */
KCL_FN lanes kcl_fast_powi(lanes x, int n)
{
    const lanes y = n < 0 ? kcl_fast_inv(x) : x;
    return n < 0 ? y * kcl_powi(y, -(n + 1)) : kcl_powi(x, n);
}

/* 0 at 0, as in cl/math.cl. */
KCL_FN lanes kcl_fast_rsqrt(lanes x)
{
#if defined(KCL_AVX512_) && defined(KCL_REAL_F64)
    const lanes zero = (lanes)(KCL_R(0.0));
    const lanes y = kcl_rsqrt14_(x), e = fma(-(x * y), y, (lanes)(KCL_R(1.0)));
    return x == zero || x == KCL_INFINITY_ ? zero : fma(y * e, fma(e, (lanes)(KCL_R(0.375)), (lanes)(KCL_R(0.5))), y);
#else
    return kcl_rsqrt(x);
#endif
}

KCL_FN lanes kcl_fast_sqrt(lanes x)
{
#if defined(KCL_NATIVE) && defined(KCL_REAL_F32)
    return native_sqrt(x);
#elif defined(KCL_ESTIMATES_) && defined(KCL_REAL_F64)
    return x == KCL_INFINITY_ ? x : x * kcl_fast_rsqrt(x);
#else
    return sqrt(x);
#endif
}

/* ---- Exponentials ------------------------------------------------------------------------------------------------ */

/* scale * 2^f for |f| <= 1/2, of error 2^-18.4 (double: 2^-40.2) and 1 at 0. */
KCL_FN lanes kcl_fast_exp2_polynomial_(lanes f, real scale)
{
#ifdef KCL_REAL_F64
    lanes p = (lanes)(0x1.61c4d61532d7fp-20 * scale);
    KCL_STEP_(p, f, 0x1.00d852df9a3d4p-16 * scale);
    KCL_STEP_(p, f, 0x1.430aa89b60514p-13 * scale);
    KCL_STEP_(p, f, 0x1.5d874d0792f4ap-10 * scale);
    KCL_STEP_(p, f, 0x1.3b2ab5ed6218ep-7 * scale);
    KCL_STEP_(p, f, 0x1.c6b08dced2d14p-5 * scale);
    KCL_STEP_(p, f, 0x1.ebfbdff8edf25p-3 * scale);
    KCL_STEP_(p, f, 0x1.62e42fef89d22p-1 * scale);
#else
    lanes p = (lanes)(0x1.3a02ccp-7f * scale);
    KCL_STEP_(p, f, 0x1.c9fc46p-5f * scale);
    KCL_STEP_(p, f, 0x1.ec0378p-3f * scale);
    KCL_STEP_(p, f, 0x1.62e12cp-1f * scale);
#endif
    KCL_STEP_(p, f, scale);
    return p;
}

KCL_FN lanes kcl_fast_exp2(lanes x)
{
#if defined(KCL_NATIVE) && defined(KCL_REAL_F32)
    return kcl_exp2(x);
#elif defined(KCL_AVX512_)
    const lanes f = kcl_fraction_(x);
    return kcl_scalef_(kcl_fast_exp2_polynomial_(f, KCL_R(1.0)), x - f);
#else
    x = kcl_at_most_(kcl_at_least_(x, -KCL_MAX_EXPONENT_), KCL_MAX_EXPONENT_);
    const lanes n = (x + (lanes)(KCL_MAGIC_)) - (lanes)(KCL_MAGIC_);
    return kcl_scale_(kcl_fast_exp2_polynomial_(x - n, KCL_R(1.0)), n);
#endif
}

KCL_FN lanes kcl_fast_exp2_nonpos(lanes x)
{
#if defined(KCL_AVX512_) || (defined(KCL_NATIVE) && defined(KCL_REAL_F32))
    return kcl_fast_exp2(x);
#else
    /* as kcl_exp2_nonpos */
    const lanes magic = (lanes)(KCL_MAGIC_ + (KCL_BIAS_ + 64));
    x = kcl_at_least_(x, -KCL_ZERO_EXPONENT_);
    const lanes z = x + magic;
    return kcl_fast_exp2_polynomial_(x - (z - magic), KCL_R(0x1p-64)) *
           kcl_as_lanes_(kcl_as_ilanes_(z) << KCL_MANTISSA_);
#endif
}

/* The rounding of the product is |x| 2^-24 of the result (double: 2^-53). */
KCL_FN lanes kcl_fast_exp(lanes x)
{
    return kcl_fast_exp2(x * (lanes)(KCL_LOG2E_));
}

KCL_FN lanes kcl_fast_sigmoid(lanes x)
{
    return kcl_fast_inv((lanes)(KCL_R(1.0)) + kcl_fast_exp(-x));
}

KCL_FN lanes kcl_fast_sech(lanes x)
{
    const lanes e = kcl_fast_exp(-fabs(x));
    return (e + e) * kcl_fast_inv(fma(e, e, (lanes)(KCL_R(1.0))));
}

/* ---- Logarithms and powers --------------------------------------------------------------------------------------- */

#if !(defined(KCL_NATIVE) && defined(KCL_REAL_F32))
/* kcl_split_ where a subnormal number is not brought into range first. */
KCL_FN lanes kcl_fast_split_(lanes x, lanes *e)
{
    const ilanes bits = kcl_as_ilanes_(x) + (ilanes)(KCL_ONE_BITS_ - KCL_SQRT_HALF_BITS_);
    const ilanes exponent = kcl_as_ilanes_(kcl_as_ulanes_(bits) >> KCL_MANTISSA_);
    *e = kcl_as_lanes_(exponent | (ilanes)(KCL_TWO_52_BITS_)) - (lanes)(KCL_TWO_52_ + KCL_BIAS_);
    return kcl_as_lanes_((bits & (ilanes)(KCL_MANTISSA_BITS_)) + (ilanes)(KCL_SQRT_HALF_BITS_)) - (lanes)(KCL_R(1.0));
}

/* log(1 + f), of relative error 2^-19.5 (double: 2^-37.6); double by a quotient as in kcl_log1p_rest_. */
KCL_FN lanes kcl_fast_log1p_(lanes f)
{
#ifdef KCL_REAL_F64
    const lanes s = kcl_fast_divide(f, f + (lanes)(2.0)), z = s * s;
    lanes p = (lanes)(0x1.e2f2d56bc37c8p-3);
    KCL_STEP_(p, z, 0x1.2438f15616538p-2);
    KCL_STEP_(p, z, 0x1.999a7a1a4ca62p-2);
    KCL_STEP_(p, z, 0x1.555554fde2c5bp-1);
    return s * fma(z, p, (lanes)(2.0));
#else
    lanes p = (lanes)(0x1.e9730ep-4f);
    KCL_STEP_(p, f, -0x1.7caca0p-3f);
    KCL_STEP_(p, f, 0x1.a2cc48p-3f);
    KCL_STEP_(p, f, -0x1.fe57a6p-3f);
    KCL_STEP_(p, f, 0x1.553056p-2f);
    KCL_STEP_(p, f, -0x1.00011cp-1f);
    return fma(f * f, p, f);
#endif
}
#endif

#ifdef KCL_REAL_F64
#define KCL_LN2_ALL_ 0x1.62e42fefa39efp-1
#else
#define KCL_LN2_ALL_ 0x1.62e43p-1f
#endif

KCL_FN lanes kcl_fast_log2(lanes x)
{
#if defined(KCL_NATIVE) && defined(KCL_REAL_F32)
    return native_log2(x);
#else
    lanes e;
    const lanes f = kcl_fast_split_(x, &e);
    return kcl_log_special_(x, fma(kcl_fast_log1p_(f), (lanes)(KCL_LOG2E_), e));
#endif
}

KCL_FN lanes kcl_fast_log(lanes x)
{
#if defined(KCL_NATIVE) && defined(KCL_REAL_F32)
    return native_log2(x) * (lanes)(KCL_LN2_ALL_);
#else
    lanes e;
    const lanes f = kcl_fast_split_(x, &e);
    return kcl_log_special_(x, fma(e, (lanes)(KCL_LN2_ALL_), kcl_fast_log1p_(f)));
#endif
}

KCL_FN lanes kcl_fast_xlogx(lanes x)
{
    return x == (lanes)(KCL_R(0.0)) ? x : x * kcl_fast_log(x);
}

/* x^y as 2^(y log2(x)): an error of the logarithm is multiplied by the exponent of the result, so that is the exact one. */
KCL_FN lanes kcl_fast_powf(lanes x, lanes y)
{
    const lanes zero = (lanes)(KCL_R(0.0)), half_y = y * (lanes)(KCL_R(0.5));
    const lanes power = kcl_fast_exp2(y * kcl_log2(fabs(x)));
    const lanes whole = half_y == rint(half_y) ? power : -power;
    const lanes value = x < zero ? (y == rint(y) ? whole : KCL_NAN_) : power;
    return y == zero ? (lanes)(KCL_R(1.0)) : value;
}

/* ---- Sine and cosine --------------------------------------------------------------------------------------------- */

#ifdef KCL_REAL_F64
#define KCL_ONE_OVER_PI_ 0x1.45f306dc9c883p-2
#define KCL_PI_1_ 0x1.921fb54442d18p+1
#define KCL_PI_2_ 0x1.1a62633145c07p-53
#else
#define KCL_ONE_OVER_PI_ 0x1.45f306p-2f
#define KCL_PI_1_ 0x1.921fb6p+1f
#define KCL_PI_2_ -0x1.777a5cp-24f
#endif

/*
 * (-1)^n sin(x - (n - turn) pi), n the nearest whole number to x/pi + turn; with turn = 1/2 that is cos(x). The polynomial
 * has an error of 2^-19.8 (double: 2^-43.7). Where n is no longer exact r has no meaning: it is kept small, so that the
 * result is at most 1.
 */
KCL_FN lanes kcl_fast_half_turns_(lanes x, real turn)
{
    const lanes shifted = fma(x, (lanes)(KCL_ONE_OVER_PI_), (lanes)(turn)) + (lanes)(KCL_MAGIC_);
    const lanes n = (shifted - (lanes)(KCL_MAGIC_)) - (lanes)(turn);
    lanes r = fma(n, (lanes)(-KCL_PI_2_), fma(n, (lanes)(-KCL_PI_1_), x));
    r = kcl_at_most_(kcl_at_least_(r, KCL_R(-1.6)), KCL_R(1.6));
    const lanes z = r * r;
#ifdef KCL_REAL_F64
    lanes p = (lanes)(0x1.52dbd4a8f7a62p-33);
    KCL_STEP_(p, z, -0x1.ae03f6ce8e41bp-26);
    KCL_STEP_(p, z, 0x1.71dcf843a8ab6p-19);
    KCL_STEP_(p, z, -0x1.a019fd5928584p-13);
    KCL_STEP_(p, z, 0x1.1111110a553f6p-7);
    KCL_STEP_(p, z, -0x1.5555555547132p-3);
#else
    lanes p = (lanes)(-0x1.84dbccp-13f);
    KCL_STEP_(p, z, 0x1.107130p-7f);
    KCL_STEP_(p, z, -0x1.555112p-3f);
#endif
    const lanes sine = fma(r * z, p, r);
    return kcl_as_lanes_(kcl_as_ilanes_(sine) ^ (kcl_as_ilanes_(shifted) << (8 * (int)sizeof(real) - 1)));
}

#if defined(KCL_NATIVE) && defined(KCL_REAL_F32)
/* x - 2 pi n, |x| <= pi: there the device's sine and cosine have an absolute error of some 2^-21. */
KCL_FN lanes kcl_fast_turn_(lanes x)
{
    const lanes n = rint(x * (lanes)(0.5f * KCL_ONE_OVER_PI_));
    return fma(n, (lanes)(-2.0f * KCL_PI_2_), fma(n, (lanes)(-2.0f * KCL_PI_1_), x));
}
#endif

KCL_FN lanes kcl_fast_sin(lanes x)
{
#if defined(KCL_NATIVE) && defined(KCL_REAL_F32)
    return native_sin(kcl_fast_turn_(x));
#else
    return kcl_fast_half_turns_(x, KCL_R(0.0));
#endif
}

KCL_FN lanes kcl_fast_cos(lanes x)
{
#if defined(KCL_NATIVE) && defined(KCL_REAL_F32)
    return native_cos(kcl_fast_turn_(x));
#else
    return kcl_fast_half_turns_(x, KCL_R(0.5));
#endif
}

KCL_FN lanes kcl_fast_tan(lanes x)
{
    return kcl_fast_divide(kcl_fast_sin(x), kcl_fast_cos(x));
}

/* ---- For single numbers, and in place of others ------------------------------------------------------------------ */

KCL_SCALAR_(kcl_fast_inv)
KCL_SCALAR_OF_TWO_(kcl_fast_divide)
KCL_SCALAR_(kcl_fast_rsqrt)
KCL_SCALAR_(kcl_fast_sqrt)
KCL_SCALAR_(kcl_fast_exp2)
KCL_SCALAR_(kcl_fast_exp2_nonpos)
KCL_SCALAR_(kcl_fast_exp)
KCL_SCALAR_(kcl_fast_sigmoid)
KCL_SCALAR_(kcl_fast_sech)
KCL_SCALAR_(kcl_fast_log2)
KCL_SCALAR_(kcl_fast_log)
KCL_SCALAR_(kcl_fast_xlogx)
KCL_SCALAR_OF_TWO_(kcl_fast_powf)
KCL_SCALAR_(kcl_fast_sin)
KCL_SCALAR_(kcl_fast_cos)
KCL_SCALAR_(kcl_fast_tan)

#if KCL_LANES > 1
KCL_FN real kcl_fast_powi(real x, int n)
{
    return kcl_fast_powi((lanes)(x), n).s0;
}
#endif

#define kcl_inv kcl_fast_inv
#define kcl_divide kcl_fast_divide
#define kcl_powi kcl_fast_powi
#define kcl_rsqrt kcl_fast_rsqrt
#define kcl_sqrt kcl_fast_sqrt
#define kcl_exp2 kcl_fast_exp2
#define kcl_exp2_nonpos kcl_fast_exp2_nonpos
#define kcl_exp kcl_fast_exp
#define kcl_sigmoid kcl_fast_sigmoid
#define kcl_sech kcl_fast_sech
#define kcl_log2 kcl_fast_log2
#define kcl_log kcl_fast_log
#define kcl_xlogx kcl_fast_xlogx
#define kcl_powf kcl_fast_powf
#define kcl_sin kcl_fast_sin
#define kcl_cos kcl_fast_cos
#define kcl_tan kcl_fast_tan
