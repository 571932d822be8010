/* SPDX-License-Identifier: MIT */
/* cl/reduce/expsums.cl: ExpSums; follows logsumexp.cl. src/reduce/sweep_reductions.def tells what the state is. */

#define EXPSUMS_INIT(t, d, p)                                                                                          \
    FOR_INDEX(n, 0, KCL_STATES)                                                                                        \
        shift##t[n] = (lanes)(KCL_REAL_MAX);                                                                           \
    FOR_TOTALS(n, 0, KCL_STATES *(d))                                                                                  \
        number##t[2 * n + 1] = rest##t[n] = 0;

#define EXPSUMS_TILE_BEGIN(t, d, p)                                                                                    \
    FOR_INDEX(n, 0, KCL_STATES)                                                                                        \
        base##t[n] = shift##t[n];                                                                                      \
    SUM_TILE_BEGIN(t, d, p)

#define EXPSUMS_TILE_END(t, d, p)                                                                                      \
    FOR_INDEX(state, 0, KCL_STATES)                                                                                    \
    {                                                                                                                  \
        if (KCL_ANY(base##t[state] != shift##t[state])) {                                                              \
            const lanes scale = kcl_exp2_nonpos(shift##t[state] - base##t[state]);                                     \
            FOR_TOTALS(n, (d) * state, (d) * (state + 1))                                                              \
            {                                                                                                          \
                number##t[2 * n + 1] *= scale;                                                                         \
                rest##t[n] *= scale;                                                                                   \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    KCL_PUT_ASIDE(t, KCL_STATES *(d))                                                                                  \
    FOR_TOTALS(n, 0, KCL_STATES *(d))                                                                                  \
        kcl_two_sum(&number##t[2 * n + 1], &rest##t[n], KCL_ASIDE(t)[n]);

#define EXPSUMS_MASK SUM_MASK

/* Of component + d * state, either; steps of one state need no division. */
#define KCL_COMPONENT_OF(t, n) (KCL_STATES == 1 ? (n) : (n) % KCL_D##t)
#define KCL_STATE_OF(t, n) (KCL_STATES == 1 ? 0 : (n) / KCL_D##t)

#define KCL_WEIGH(t, n, value) acc##t[n] = KCL_ADD_WHERE(power##t[v], power##t[v], value, acc##t[n]);

/* The exponent comes first: the power of element v is kept for the components that follow. */
#define EXPSUMS_STEP(t, n, value)                                                                                      \
    if (KCL_COMPONENT_OF(t, n) == 0) {                                                                                 \
        power##t[v] = kcl_exp2((lanes)(value) + shift##t[KCL_STATE_OF(t, n)]);                                         \
        acc##t[n] += power##t[v];                                                                                      \
    } else {                                                                                                           \
        KCL_WEIGH(t, n, value)                                                                                         \
    }

#define EXPSUMS_STEP_NOW(t, n, value)                                                                                  \
    if (KCL_COMPONENT_OF(t, n) == 0) {                                                                                 \
        power##t[v] = kcl_raise(&acc##t[n], KCL_D##t, &shift##t[KCL_STATE_OF(t, n)], (lanes)(value));                  \
        acc##t[n] += power##t[v];                                                                                      \
    } else {                                                                                                           \
        KCL_WEIGH(t, n, value)                                                                                         \
    }

/* m becomes `term` in lanes with a larger `term`, for all sums; returns 2^(term - m). */
KCL_FN lanes kcl_raise(lanes *acc, int dim, lanes *shift, lanes term)
{
    const lanes most = (lanes)(KCL_REAL_MAX), before = *shift;
    const ilanes above = term + before > (lanes)(KCL_R(0.0));
    if (KCL_ANY(above)) {
        *shift = above ? -(term > most ? most : term) : before;
        const lanes scale = kcl_exp2_nonpos(*shift - before);
        for (int n = 0; n < dim; n++)
            acc[n] *= scale;
    }
    return kcl_exp2(term + *shift);
}

#define EXPSUMS_RESCAN_STEP(t, n, value)                                                                               \
    if (KCL_COMPONENT_OF(t, n) == 0) {                                                                                 \
        const lanes term = (lanes)(value);                                                                             \
        top##t = term > top##t ? term : top##t;                                                                        \
    }

#define EXPSUMS_TILE_FAILS(t, d, p) kcl_any_failed(acc##t, shift##t, number##t, 1)
#define EXPSUMS_LOOKS(t, d, p) kcl_any_unset(shift##t, number##t, 1)
#define EXPSUMS_LOOK_BEGIN(t, d, p)                                                                                    \
    failed##t = kcl_failed(acc##t[0], shift##t[0], number##t[1]) | kcl_unset(shift##t[0], number##t[1]);               \
    top##t = (lanes)(-KCL_REAL_MAX);
#define EXPSUMS_LOOK_END(t, d, p)                                                                                      \
    shift##t[0] = kcl_shift_to(shift##t[0], top##t, failed##t);                                                        \
    SUM_TILE_BEGIN(t, d, p)

#define EXPSUMS_CLOSE(t, d, p)                                                                                         \
    FOR_TOTALS(n, 0, KCL_STATES *(d))                                                                                  \
    {                                                                                                                  \
        number##t[2 * n] = -shift##t[n / (d)];                                                                         \
        number##t[2 * n + 1] = kcl_total(number##t[2 * n + 1], rest##t[n]);                                            \
    }

#define EXPSUMS_RESULT(t, d, p)                                                                                        \
    result##t[0] = number##t[0] * KCL_R(0x1.62e42fefa39efp-1);                                                         \
    FOR_INDEX(n, 0, d)                                                                                                 \
        result##t[n + 1] = number##t[2 * n + 1];

#define EXPSUMS_JOIN LOGSUMEXP_JOIN
#define EXPSUMS_JOINED LOGSUMEXP_JOINED
