/* SPDX-License-Identifier: MIT */
/* cl/reduce/sum.cl: Sum. src/reduce/sweep_reductions.def tells what the state is. */

/*
 * sum + a * b in lanes with c other than 0, else sum: a term without a weight adds nothing, even if a or b is infinite
 * or NaN.
 */
#define KCL_ADD_WHERE(c, a, b, sum)                                                                                    \
    ((lanes)(c) != (lanes)(KCL_R(0.0)) ? fma((lanes)(a), (lanes)(b), (lanes)(sum)) : (lanes)(sum))

/* total + rest += value: rest takes the part that rounding takes from total. */
KCL_FN void kcl_two_sum(lanes *total, lanes *rest, lanes value)
{
    const lanes a = *total, s = a + value, c = s - a;
    *rest += (a - (s - c)) + (value - c);
    *total = s;
}

/* Result of an infinite or NaN total: `rest` is NaN then and has nothing to say. */
KCL_FN lanes kcl_total(lanes total, lanes rest)
{
    return total + (rest == rest ? rest : (lanes)(KCL_R(0.0)));
}

#define SUM_INIT(t, d, p)                                                                                              \
    FOR_TOTALS(n, 0, KCL_STATES *(d))                                                                                  \
        number##t[n] = rest##t[n] = 0;

#define SUM_TILE_BEGIN(t, d, p)                                                                                        \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        acc##t[n] = 0;

#define SUM_TILE_END(t, d, p)                                                                                          \
    KCL_PUT_ASIDE(t, KCL_STATES *(d))                                                                                  \
    FOR_TOTALS(n, 0, KCL_STATES *(d))                                                                                  \
        kcl_two_sum(&number##t[n], &rest##t[n], KCL_ASIDE(t)[n]);

#define SUM_MASK(t, d, p)                                                                                              \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        acc##t[n] = kcl_mask_lanes(acc##t[n], (lanes)(KCL_R(0.0)), i, lane_count);

#define SUM_STEP(t, n, value) acc##t[n] += value;
#define SUM_STEP_PRODUCT(t, n, a, b) acc##t[n] = fma((lanes)(a), (lanes)(b), acc##t[n]);
#define SUM_STEP_WHERE(t, n, c, a, b) acc##t[n] = KCL_ADD_WHERE(c, a, b, acc##t[n]);

#define SUM_LOOK_END SUM_TILE_BEGIN

#define SUM_CLOSE(t, d, p)                                                                                             \
    FOR_TOTALS(n, 0, KCL_STATES *(d))                                                                                  \
        number##t[n] = kcl_total(number##t[n], rest##t[n]);

#define SUM_RESULT(t, d, p)                                                                                            \
    FOR_INDEX(n, 0, d)                                                                                                 \
        result##t[n] = number##t[n];

#define SUM_JOIN(t, a, b) kcl_two_sum(&(a)[0], &(a)[1], (b)[0]);
#define SUM_JOINED(a) (a)[0] = kcl_total((a)[0], (a)[1]);
