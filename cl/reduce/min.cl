/* SPDX-License-Identifier: MIT */
/* cl/reduce/min.cl: Min. src/reduce/sweep_reductions.def tells what the state is. */

#define MIN_INIT(t, d, p)                                                                                              \
    FOR_INDEX(n, 0, 2 * KCL_STATES *(d))                                                                               \
        low##t[n] = (lanes)(INFINITY);

/* Two minima by turns: the next one need not wait for the last. */
#define MIN_STEP(t, n, value)                                                                                          \
    {                                                                                                                  \
        const lanes term = (lanes)(value);                                                                             \
        low##t[2 * (n) + v % 2] = term < low##t[2 * (n) + v % 2] ? term : low##t[2 * (n) + v % 2];                     \
    }

#define MIN_CLOSE(t, d, p)                                                                                             \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        number##t[n] = low##t[2 * n + 1] < low##t[2 * n] ? low##t[2 * n + 1] : low##t[2 * n];

#define MIN_RESULT(t, d, p)                                                                                            \
    FOR_INDEX(n, 0, d)                                                                                                 \
        result##t[n] = number##t[n];

#define MIN_JOIN(t, a, b) (a)[0] = (b)[0] < (a)[0] ? (b)[0] : (a)[0];
