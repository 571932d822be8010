/* SPDX-License-Identifier: MIT */
/* cl/reduce/logsumexp.cl: LogSumExp; follows sum.cl. src/reduce/sweep_reductions.def tells what the state is. */

/*
 * Up to the first sum of a tile m need not change. The second bounds a tile's sum: rounding of a huge m may exceed the
 * first.
 */
#define KCL_TILE_LIMIT KCL_R(0x1p60)
#define KCL_TILE_BOUND KCL_R(0x1p90)

/* acc holds 2^-m times the terms so far: one more, `term`, with `above` = term - m. */
KCL_FN void kcl_add_power(lanes *acc, lanes *shift, lanes term, lanes above)
{
    const lanes zero = (lanes)(KCL_R(0.0)), most = (lanes)(KCL_REAL_MAX);
    const lanes scale = kcl_exp2_nonpos(above > zero ? -above : above);
    *acc = above > zero ? fma(*acc, scale, (lanes)(KCL_R(1.0))) : *acc + scale;
    *shift = above > zero ? -(term > most ? most : term) : *shift;
}

/* total and rest, relative to `from`, shall be relative to `to`, which is smaller where it is another. */
KCL_FN void kcl_rescale(lanes *total, lanes *rest, lanes from, lanes to)
{
    if (KCL_ANY(from != to)) {
        const lanes scale = kcl_exp2_nonpos(to - from);
        *total *= scale;
        *rest *= scale;
    }
}

/* a: m, s, and the part that rounding took from s. */
KCL_FN void kcl_join_logsumexp(lanes *a, const lanes *b)
{
    const lanes m = a[0] < b[0] ? b[0] : a[0];
    kcl_rescale(&a[1], &a[2], -a[0], -m);
    kcl_two_sum(&a[1], &a[2], b[1] * kcl_exp2_nonpos(b[0] - m));
    a[0] = m;
}

/* log(s 2^m). Terms as large as m are equal within its rounding, whatever s has become of that. */
KCL_FN lanes kcl_logsumexp(lanes m, lanes s)
{
    const lanes most = (lanes)(KCL_REAL_MAX), ln2 = (lanes)(KCL_R(0x1.62e42fefa39efp-1));
    const lanes least = fma(fabs(m), (lanes)(-KCL_EPSILON), (lanes)(KCL_R(-1.0)));
    lanes power = kcl_log2(s);
    power = power < least ? least : power;
    lanes result = fma(m, ln2, power * ln2);
    result = m >= most ? s + (lanes)(INFINITY) : result;
    return m <= -most ? s - (lanes)(INFINITY) : result;
}

#define LOGSUMEXP_INIT(t, d, p)                                                                                        \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        shift##t[n] = (lanes)(KCL_REAL_MAX);                                                                           \
        number##t[2 * n + 1] = rest##t[n] = 0;                                                                         \
    }

/* base: the shift that the sum of all tiles has. */
#define LOGSUMEXP_TILE_BEGIN(t, d, p)                                                                                  \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        acc##t[n] = 0;                                                                                                 \
        base##t[n] = shift##t[n];                                                                                      \
    }

#define LOGSUMEXP_TILE_END(t, d, p)                                                                                    \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        const lanes bound = (lanes)(KCL_TILE_BOUND), sum = acc##t[n] > bound ? bound : acc##t[n];                      \
        kcl_rescale(&number##t[2 * n + 1], &rest##t[n], base##t[n], shift##t[n]);                                      \
        kcl_two_sum(&number##t[2 * n + 1], &rest##t[n], sum);                                                          \
    }

/* Padding lanes repeat the last row, so the real lane has the same m; m needs no mask. */
#define LOGSUMEXP_MASK SUM_MASK

#define LOGSUMEXP_STEP(t, n, value) acc##t[n] += kcl_exp2((lanes)(value) + shift##t[n]);
#define LOGSUMEXP_STEP_PRODUCT(t, n, a, b) acc##t[n] += kcl_exp2(fma((lanes)(a), (lanes)(b), shift##t[n]));
#define LOGSUMEXP_STEP_NOW(t, n, value)                                                                                \
    kcl_add_power(&acc##t[n], &shift##t[n], (lanes)(value), (lanes)(value) + shift##t[n]);
#define LOGSUMEXP_STEP_NOW_PRODUCT(t, n, a, b)                                                                         \
    kcl_add_power(&acc##t[n], &shift##t[n], (lanes)(a) * (lanes)(b), fma((lanes)(a), (lanes)(b), shift##t[n]));

#define LOGSUMEXP_RESCAN_STEP(t, n, value)                                                                             \
    {                                                                                                                  \
        const lanes term = (lanes)(value);                                                                             \
        top##t[n] = term > top##t[n] ? term : top##t[n];                                                               \
    }

/* Where a tile's sum needs another m: that does not help where m is infinite, or the sum is NaN already. */
KCL_FN ilanes kcl_failed(lanes acc, lanes shift, lanes sum)
{
    return ((acc <= (lanes)(KCL_TILE_LIMIT)) == 0) & (shift > (lanes)(-KCL_REAL_MAX)) & (sum == sum);
}

KCL_FN ilanes kcl_unset(lanes shift, lanes sum)
{
    return (shift >= (lanes)(KCL_REAL_MAX)) & (sum == sum);
}

KCL_FN bool kcl_any_failed(const lanes *acc, const lanes *shift, const lanes *number, int dim)
{
    bool fails = false;
    FOR_INDEX(n, 0, dim)
        fails |= KCL_ANY(kcl_failed(acc[n], shift[n], number[2 * n + 1]));
    return fails;
}

KCL_FN bool kcl_any_unset(const lanes *shift, const lanes *number, int dim)
{
    bool looks = false;
    FOR_INDEX(n, 0, dim)
        looks |= KCL_ANY(kcl_unset(shift[n], number[2 * n + 1]));
    return looks;
}

/* The shift for a tile whose largest term is `top`. */
KCL_FN lanes kcl_shift_to(lanes shift, lanes top, ilanes failed)
{
    const lanes most = (lanes)(KCL_REAL_MAX), m = top > most ? most : top;
    return (failed & (-m < shift)) ? -m : shift;
}

#define LOGSUMEXP_TILE_FAILS(t, d, p) kcl_any_failed(acc##t, shift##t, number##t, d)
#define LOGSUMEXP_LOOKS(t, d, p) kcl_any_unset(shift##t, number##t, d)

#define LOGSUMEXP_LOOK_BEGIN(t, d, p)                                                                                  \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        failed##t[n] = kcl_failed(acc##t[n], shift##t[n], number##t[2 * n + 1]) |                                      \
                       kcl_unset(shift##t[n], number##t[2 * n + 1]);                                                   \
        top##t[n] = (lanes)(-KCL_REAL_MAX);                                                                            \
    }

#define LOGSUMEXP_LOOK_END(t, d, p)                                                                                    \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        shift##t[n] = kcl_shift_to(shift##t[n], top##t[n], failed##t[n]);                                              \
        acc##t[n] = 0;                                                                                                 \
    }

#define LOGSUMEXP_CLOSE(t, d, p)                                                                                       \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        number##t[2 * n] = -shift##t[n];                                                                               \
        number##t[2 * n + 1] = kcl_total(number##t[2 * n + 1], rest##t[n]);                                            \
    }

#define LOGSUMEXP_RESULT(t, d, p)                                                                                      \
    FOR_INDEX(n, 0, d)                                                                                                 \
        result##t[n] = kcl_logsumexp(number##t[2 * n], number##t[2 * n + 1]);

#define LOGSUMEXP_JOIN(t, a, b) kcl_join_logsumexp(a, b);
#define LOGSUMEXP_JOINED(a) (a)[1] = kcl_total((a)[1], (a)[2]);
