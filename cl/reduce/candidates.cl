/* SPDX-License-Identifier: MIT */
/*
 * cl/reduce/candidates.cl: ArgMin where steps compute values with an error, of at most `e`, and rescans without one: a
 * step whose smallest value is more than 2 e above the smallest of all columns cannot hold the result. For one
 * component, and deferred always. A part has a fourth number, the smallest value of its steps but the best one: if
 * this number is near too, the whole part is looked at. 2 e is KCL_MARGIN(2 t) and KCL_MARGIN(2 t + 1) times the
 * smallest value.
 */

#define CANDIDATES_INIT ARGMIN_INIT

#define CANDIDATES_ROWS_BEGIN(t, d, p)                                                                                 \
    second##t = (lanes)(INFINITY);                                                                                     \
    ARGMIN_ROWS_BEGIN(t, d, p)

#define CANDIDATES_ROWS_END(t, d, p)                                                                                   \
    number##t[3] = second##t;                                                                                          \
    ARGMIN_ROWS_END(t, d, p)

#define CANDIDATES_BLOCK_BEGIN ARGMIN_BLOCK_BEGIN

/* What is not below the best may be the second. */
#define CANDIDATES_BLOCK_END(t, d, p)                                                                                  \
    {                                                                                                                  \
        const lanes step = low##t[1] < low##t[0] ? low##t[1] : low##t[0], more = step < best##t[0] ? best##t[0] : step; \
        second##t = more < second##t ? more : second##t;                                                               \
    }                                                                                                                  \
    ARGMIN_BLOCK_END(t, d, p)

#define CANDIDATES_STEP ARGMIN_STEP
#define CANDIDATES_RESCAN_STEP ARGMIN_RESCAN_STEP

#define CANDIDATES_FIND_LIMIT(t, d, p)                                                                                 \
    limit##t[0] = fma(fabs(number##t[0]), (lanes)(KCL_MARGIN(2 * (t) + 1)), number##t[0]) + KCL_MARGIN(2 * (t));       \
    ARGMIN_INIT(t, d, p)

#define CANDIDATES_FIND_PART(t, d, p)                                                                                  \
    {                                                                                                                  \
        const ilanes far = KCL_PART_(4, 1, p, part, 0, 3) > limit##t[0];                                               \
        ARGMIN_ROWS_BEGIN(t, d, p)                                                                                     \
        asked##t[0] = kcl_ask(KCL_PART_(4, 1, p, part, 0, 0), limit##t[0],                                             \
                              far ? KCL_PART_(4, 1, p, part, 0, 1) : (lanes)(KCL_R(-1.0)),                             \
                              KCL_PART_(4, 1, p, part, 0, 2), first);                                                  \
    }
#define CANDIDATES_FIND_CLOSE ARGMIN_ROWS_END
#define CANDIDATES_FIND_NEXT ARGMIN_FIND_NEXT
#define CANDIDATES_FIND_BEGIN ARGMIN_FIND_BEGIN
#define CANDIDATES_FIND_END ARGMIN_FIND_END
#define CANDIDATES_RESULT(t, d, p) KCL_ARGMIN_RESULT(t, d, CANDIDATES_NUMBERS)
#define CANDIDATES_JOIN(t, a, b) kcl_join_argmin(a, b);
