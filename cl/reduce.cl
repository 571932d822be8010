/* SPDX-License-Identifier: MIT */
/*
 * cl/reduce.cl: states of the reductions on a device. A state is declared, set to neutral, takes blocks of terms between
 * TILE_BEGIN and TILE_END, and is turned into a result, or saved as partial state that `finish` merges.
 *
 * Arguments: t, number of the term; d, its dimension; p, the terms' dimensions before it, added up. KCL_STATES is the
 * number of rows whose states a work-item keeps: 1, or the streamed rows of the shape "columns".
 *
 * Sum: acc holds the terms of a tile, total the tiles, rest what rounding took from total. Tiles are added by Knuth's
 * TwoSum, so that a sum of many tiles is as exact as one of a few terms.
 */

#ifndef KCL_STATES
#define KCL_STATES 1
#endif

/* Result of an infinite or NaN total: `rest` is NaN then and has nothing to say. */
KCL_FN lanes kcl_total(lanes total, lanes rest)
{
    return total + (rest == rest ? rest : (lanes)0);
}

#define SUM_STATE(t, d, p) lanes acc##t[KCL_STATES * (d)], total##t[KCL_STATES * (d)], rest##t[KCL_STATES * (d)];

#define SUM_INIT(t, d, p)                                                                                              \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        total##t[n] = rest##t[n] = 0;

#define SUM_TILE_BEGIN(t, d, p)                                                                                        \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        acc##t[n] = 0;

#define SUM_MASK(t, d, p)                                                                                              \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        acc##t[n] = kcl_mask_lanes(acc##t[n], i, lane_count);

#define SUM_TILE_END(t, d, p)                                                                                          \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        const lanes a = total##t[n], b = acc##t[n], s = a + b, c = s - a;                                              \
        rest##t[n] += (a - (s - c)) + (b - c);                                                                         \
        total##t[n] = s;                                                                                               \
    }

/* acc += value, acc += a * b */
#define SUM_STEP(t, n, value) acc##t[n] += value;
#define SUM_STEP_PRODUCT(t, n, a, b) acc##t[n] = fma((lanes)(a), (lanes)(b), acc##t[n]);

#define SUM_STEP_NOW SUM_STEP
#define SUM_STEP_PRODUCT_NOW SUM_STEP_PRODUCT

#define SUM_RESULT(t, d, p)                                                                                            \
    lanes result##t[d];                                                                                                \
    FOR_INDEX(n, 0, d)                                                                                                 \
        result##t[n] = kcl_total(total##t[n], rest##t[n]);

/* Partial states: of part `part` and row `row`, component k. */
#define KCL_PARTIAL(d, p, part, row, k) partial[(long)(p)*parts * rows + ((part)*rows + (row)) * (d) + (k)]

/* One row a lane. */
#define SUM_SAVE_LANES(t, d, p)                                                                                        \
    FOR_INDEX(n, 0, d)                                                                                                 \
        kcl_scatter(&KCL_PARTIAL(d, p, part, 0, 0), i, rows, d, n, kcl_total(total##t[n], rest##t[n]));

/* State `state` is the sum of its lanes, and belongs to row `row`. */
#define SUM_SAVE_SUM(t, d, p)                                                                                          \
    FOR_INDEX(n, 0, d)                                                                                                 \
        KCL_PARTIAL(d, p, part, row, n) =                                                                              \
            kcl_sum_lanes(kcl_total(total##t[state * (d) + n], rest##t[state * (d) + n]), 0, KCL_LANES);

/* result: the parts of rows i, i + 1, ..., merged from first to last. */
#define SUM_MERGE(t, d, p)                                                                                             \
    lanes result##t[d];                                                                                                \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        lanes a = 0, rest = 0;                                                                                         \
        for (long part = 0; part < parts; part++) {                                                                    \
            const lanes b = kcl_gather(&KCL_PARTIAL(d, p, part, 0, 0), i, rows, d, n), s = a + b, c = s - a;           \
            rest += (a - (s - c)) + (b - c);                                                                           \
            a = s;                                                                                                     \
        }                                                                                                              \
        result##t[n] = kcl_total(a, rest);                                                                             \
    }

/* ---- Work-groups ------------------------------------------------------------------------------------------------- */

#ifdef KCL_GROUP

/*
 * State n of work-item 0 becomes that of the whole work-group: the upper half puts its states into local memory, the
 * lower half merges them into its own, and so on.
 */
#define KCL_HALF ((KCL_GROUP + 1) / 2)
#define KCL_JOINED (2 * KCL_HALF)
#define KCL_JOIN_STATES(R, t, d, p)                                                                                    \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        for (int step = KCL_GROUP / 2; step > 0; step /= 2) {                                                          \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                              \
            if (item >= step && item < 2 * step) {                                                                     \
                R##_PUT(t, n, joined[item - step], joined[KCL_HALF + item - step])                                     \
            }                                                                                                          \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                              \
            if (item < step) {                                                                                         \
                R##_JOIN(t, n, joined[item], joined[KCL_HALF + item])                                                  \
            }                                                                                                          \
        }                                                                                                              \
    }

#define SUM_PUT(t, n, first, second)                                                                                   \
    first = total##t[n];                                                                                               \
    second = rest##t[n];
#define SUM_JOIN(t, n, first, second)                                                                                  \
    const lanes a = total##t[n], b = first, s = a + b, e = s - a;                                                      \
    rest##t[n] += second + ((a - (s - e)) + (b - e));                                                                  \
    total##t[n] = s;

#endif
