/* SPDX-License-Identifier: MIT */
/*
 * cl/reduce.cl: states of the reductions on a device.
 *
 * A reduction R is a set of macros R_... with the arguments t, number of the term; d, its dimension; p, the numbers of
 * state of the terms before it. Skeletons call them for all terms by KCL_TERMS. A state is first *running*: what a
 * work-item keeps while columns pass. It is then closed: R_NUMBERS numbers of type real a component, number<t>[], which
 * can be kept in memory, and joined with those of other columns. KCL_STATES is the number of rows (or vectors of rows)
 * whose states a work-item keeps: 1, or the streamed rows of the shape "columns".
 *
 *   R_STATE                 declares a state
 *   R_INIT                  sets it to that of no columns
 *   R_ROWS_BEGIN, _END      around all columns that one vector of rows meets; where a state outlives its rows because
 *                           both axes are reduced, they come several times between R_INIT and R_CLOSE
 *   R_TILE_BEGIN, _END      around a tile, columns whose terms are added up before they meet the others
 *   R_MASK                  before R_TILE_END: what the tile brought into lanes beyond the last element shall not count
 *   R_BLOCK_BEGIN, _END     around a block, KCL_STREAM columns from j on
 *   R_STEP(t, n, value)     one column's term, n = component + d * state; R_STEP_PRODUCT(t, n, a, b): value = a * b.
 *                           Deferred: tile and block hooks, and what R_RESCANS asks for, must stand around it
 *   R_STEP_NOW, ...         the same where nothing but R_TILE_BEGIN, R_TILE_END and R_MASK stand around it
 *   R_CLOSE                 number<t>[R_NUMBERS * (component + d * state) + q] is number q
 *   R_RESULT                declares result<t>[d], from number<t>
 *   R_JOIN(a, b)            a and b point to the numbers of a component, as lanes: a is joined with b, of later columns.
 *                           a[R_NUMBERS], 0 at first, is the join's own; R_JOINED(a) adds it where it belongs
 *
 * KCL_COLUMN(v) is the column, as ilanes, that stands v behind the step's first, counted from the first one of the
 * work-item; KCL_NUMBER(column) its number among all columns or pairs, as longs.
 *
 * A deferred step leaves something to be looked at again: R_RESCANS is a set of
 *
 *   KCL_RESCAN_TILES   where R_LOOKS(t, d, p), behind R_TILE_BEGIN, some columns of the tile are looked at first:
 *                      R_LOOK_BEGIN, they with R_RESCAN_STEP, R_LOOK_END. Where R_TILE_FAILS(t, d, p), in front of
 *                      R_TILE_END, all are looked at and the tile is begun anew: R_LOOK_END of every term forgets what
 *                      R_STEP has done since R_TILE_BEGIN, or that does nothing twice
 *   KCL_RESCAN_STEPS   in front of R_ROWS_END: R_FIND; then, as long as R_FIND_NEXT sets `more` and `query` to a place
 *                      that lanes remember, a step's first column, or -1, all columns: R_FIND_BEGIN, those columns with
 *                      R_RESCAN_STEP, R_FIND_END. Or, where columns are divided, behind the join of all parts (KCL_DEFERRED):
 *                      R_FIND_STATE declares what these need, R_FIND_LIMIT; then, for each part, R_FIND_PART, the same
 *                      queries among its columns, R_FIND_CLOSE
 *
 * R_RESCAN_STEP changes only what these hooks of its own read, so a rescan for one term leaves other terms alone.
 *
 * Sum        a number: the sum. acc holds the terms of a tile. Tiles are added by Knuth's TwoSum, so that a sum of many
 *            tiles is as exact as one of a few terms; rest is what rounding took from the total.
 * LogSumExp  two numbers: m and s, for log(s 2^m). Terms are F log2(e), the plan multiplies. m is the largest term when
 *            it was last looked at, -KCL_REAL_MAX before that, KCL_REAL_MAX where a term was infinite; the state
 *            remembers shift = -m. Deferred: m is at first the largest of a step; a tile whose sum exceeds 2^60, or NaN,
 *            is done again with its own largest.
 * ArgMin     three numbers: the value, and its column or pair as two exact ones: number = high 2^24 + low; high = -1
 *            where nothing counts. Deferred: the smallest value of a block, and in which block it was; the rescan of
 *            that block finds the column. Infinity is below nothing, so lanes that found nothing look at all columns.
 */

#ifndef KCL_STATES
#define KCL_STATES 1
#endif

#define KCL_RESCAN_TILES 1
#define KCL_RESCAN_STEPS 2

#define KCL_NOTHING(t, d, p)
#define KCL_NO_STEP(t, n, value)
#define KCL_NO_STEP_PRODUCT(t, n, a, b)

/* total + rest += value, where rest takes what rounding takes from total. */
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

/* ---- Sum --------------------------------------------------------------------------------------------------------- */

#define SUM_NUMBERS 1
#define SUM_RESCANS 0

#define SUM_STATE(t, d, p) lanes acc##t[KCL_STATES * (d)], number##t[KCL_STATES * (d)], rest##t[KCL_STATES * (d)];

#define SUM_INIT(t, d, p)                                                                                              \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        number##t[n] = rest##t[n] = 0;

#define SUM_ROWS_BEGIN KCL_NOTHING
#define SUM_ROWS_END KCL_NOTHING

#define SUM_TILE_BEGIN(t, d, p)                                                                                        \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        acc##t[n] = 0;

#define SUM_TILE_END(t, d, p)                                                                                          \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        kcl_two_sum(&number##t[n], &rest##t[n], acc##t[n]);

#define SUM_MASK(t, d, p)                                                                                              \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        acc##t[n] = kcl_mask_lanes(acc##t[n], (lanes)(KCL_R(0.0)), i, lane_count);

#define SUM_BLOCK_BEGIN KCL_NOTHING
#define SUM_BLOCK_END KCL_NOTHING
#define SUM_STEP(t, n, value) acc##t[n] += value;
#define SUM_STEP_PRODUCT(t, n, a, b) acc##t[n] = fma((lanes)(a), (lanes)(b), acc##t[n]);
#define SUM_STEP_NOW SUM_STEP
#define SUM_STEP_NOW_PRODUCT SUM_STEP_PRODUCT

#define SUM_RESCAN_STEP KCL_NO_STEP
#define SUM_RESCAN_STEP_PRODUCT KCL_NO_STEP_PRODUCT
#define SUM_TILE_FAILS(t, d, p) 0
#define SUM_LOOKS(t, d, p) 0
#define SUM_LOOK_BEGIN KCL_NOTHING
#define SUM_LOOK_END SUM_TILE_BEGIN
#define SUM_FIND KCL_NOTHING
#define SUM_FIND_STATE KCL_NOTHING
#define SUM_FIND_LIMIT KCL_NOTHING
#define SUM_FIND_PART KCL_NOTHING
#define SUM_FIND_CLOSE KCL_NOTHING
#define SUM_FIND_NEXT KCL_NOTHING
#define SUM_FIND_BEGIN KCL_NOTHING
#define SUM_FIND_END KCL_NOTHING

#define SUM_CLOSE(t, d, p)                                                                                             \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        number##t[n] = kcl_total(number##t[n], rest##t[n]);

#define SUM_STEP_NOW SUM_STEP
#define SUM_STEP_PRODUCT_NOW SUM_STEP_PRODUCT

#define SUM_RESULT(t, d, p)                                                                                            \
    lanes result##t[d];                                                                                                \
    FOR_INDEX(n, 0, d)                                                                                                 \
        result##t[n] = number##t[n];

#define SUM_JOIN(a, b) kcl_two_sum(&(a)[0], &(a)[1], (b)[0]);
#define SUM_JOINED(a) (a)[0] = kcl_total((a)[0], (a)[1]);

/* ---- LogSumExp --------------------------------------------------------------------------------------------------- */

#define LOGSUMEXP_NUMBERS 2
#define LOGSUMEXP_RESCANS KCL_RESCAN_TILES

/* A tile's sum up to which m need not change, and a bound of what is added: rounding of a huge m may exceed the first. */
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

/* a: m, s and what rounding took from s. */
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

#define LOGSUMEXP_STATE(t, d, p)                                                                                       \
    lanes acc##t[KCL_STATES * (d)], shift##t[KCL_STATES * (d)], number##t[2 * KCL_STATES * (d)];                       \
    lanes rest##t[KCL_STATES * (d)], base##t[KCL_STATES * (d)], top##t[d];                                             \
    ilanes failed##t[d];

#define LOGSUMEXP_INIT(t, d, p)                                                                                        \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        shift##t[n] = (lanes)(KCL_REAL_MAX);                                                                           \
        number##t[2 * n + 1] = rest##t[n] = 0;                                                                         \
    }

#define LOGSUMEXP_ROWS_BEGIN KCL_NOTHING
#define LOGSUMEXP_ROWS_END KCL_NOTHING

/* base: what the sum of the tiles is relative to. */
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

/* An m that such lanes have raised is that of a term which counts in a lane of its own. */
#define LOGSUMEXP_MASK SUM_MASK

#define LOGSUMEXP_BLOCK_BEGIN KCL_NOTHING
#define LOGSUMEXP_BLOCK_END KCL_NOTHING
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
#define LOGSUMEXP_RESCAN_STEP_PRODUCT(t, n, a, b) LOGSUMEXP_RESCAN_STEP(t, n, (lanes)(a) * (lanes)(b))

/* Another m does not help where it is infinite, or the sum is NaN already. */
#define KCL_FAILED(t)                                                                                                  \
    (((acc##t[0] <= (lanes)(KCL_TILE_LIMIT)) == 0) & (shift##t[0] > (lanes)(-KCL_REAL_MAX)) &                          \
     (number##t[1] == number##t[1]))
#define LOGSUMEXP_TILE_FAILS(t, d, p) KCL_ANY(KCL_FAILED(t))

#define KCL_UNSET(t) ((shift##t[0] >= (lanes)(KCL_REAL_MAX)) & (number##t[1] == number##t[1]))
#define LOGSUMEXP_LOOKS(t, d, p) KCL_ANY(KCL_UNSET(t))

#define LOGSUMEXP_LOOK_BEGIN(t, d, p)                                                                                  \
    failed##t[0] = KCL_FAILED(t) | KCL_UNSET(t);                                                                       \
    top##t[0] = (lanes)(-KCL_REAL_MAX);

#define LOGSUMEXP_LOOK_END(t, d, p)                                                                                    \
    {                                                                                                                  \
        const lanes most = (lanes)(KCL_REAL_MAX), m = top##t[0] > most ? most : top##t[0];                             \
        shift##t[0] = (failed##t[0] & (-m < shift##t[0])) ? -m : shift##t[0];                                          \
        acc##t[0] = 0;                                                                                                 \
    }

#define LOGSUMEXP_FIND KCL_NOTHING
#define LOGSUMEXP_FIND_STATE KCL_NOTHING
#define LOGSUMEXP_FIND_LIMIT KCL_NOTHING
#define LOGSUMEXP_FIND_PART KCL_NOTHING
#define LOGSUMEXP_FIND_CLOSE KCL_NOTHING
#define LOGSUMEXP_FIND_NEXT KCL_NOTHING
#define LOGSUMEXP_FIND_BEGIN KCL_NOTHING
#define LOGSUMEXP_FIND_END KCL_NOTHING

#define LOGSUMEXP_CLOSE(t, d, p)                                                                                       \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        number##t[2 * n] = -shift##t[n];                                                                               \
        number##t[2 * n + 1] = kcl_total(number##t[2 * n + 1], rest##t[n]);                                            \
    }

#define LOGSUMEXP_RESULT(t, d, p)                                                                                      \
    lanes result##t[d];                                                                                                \
    FOR_INDEX(n, 0, d)                                                                                                 \
        result##t[n] = kcl_logsumexp(number##t[2 * n], number##t[2 * n + 1]);

#define LOGSUMEXP_JOIN(a, b) kcl_join_logsumexp(a, b);
#define LOGSUMEXP_JOINED(a) (a)[1] = kcl_total((a)[1], (a)[2]);

/* ---- ArgMin ------------------------------------------------------------------------------------------------------ */

#define ARGMIN_NUMBERS 3
#define ARGMIN_RESCANS KCL_RESCAN_STEPS

/* Ties go to the smaller number, so lanes that repeat the last element change nothing: its own number is smaller. */
KCL_FN void kcl_join_argmin(lanes *a, const lanes *b)
{
    const lanes zero = (lanes)(KCL_R(0.0));
    const ilanes before = (b[1] < a[1]) | ((b[1] == a[1]) & (b[2] < a[2]));
    const ilanes wins = (b[1] >= zero) & ((a[1] < zero) | (b[0] < a[0]) | ((b[0] == a[0]) & before));
    for (int q = 0; q < 3; q++)
        a[q] = wins ? b[q] : a[q];
}

/* The column nearest to nothing so far: `place` is below 0 before the first that is not NaN. */
KCL_FN void kcl_take_less(lanes *best, ilanes *place, lanes value, ilanes column)
{
    const ilanes less = (value < *best) | ((value == *best) & (*place < 0));
    *best = less ? value : *best;
    *place = less ? column : *place;
}

/* Joins the numbers with the running state. */
KCL_FN void kcl_close_argmin(lanes *number, lanes best, ilanes place, longs at)
{
    lanes closed[3];
    closed[0] = best;
    closed[1] = place < 0 ? (lanes)(KCL_R(-1.0)) : kcl_to_lanes(at >> 24);
    closed[2] = place < 0 ? (lanes)(KCL_R(0.0)) : kcl_to_lanes(at & 0xffffff);
    kcl_join_argmin(number, closed);
}

KCL_FN lanes kcl_index(const lanes *number, long *index)
{
    const longs at = (kcl_to_longs(number[1]) << 24) + kcl_to_longs(number[2]);
    KCL_VSTORE(at, index);
    for (int l = 0; l < KCL_LANES; l++)
        index[l] = max(index[l], -1L);
    return kcl_to_lanes(KCL_VLOAD(index));
}

/*
 * What a part's state asks for where its value is not above `limit`, which may be NaN: its place, from `first` on, or -1, all
 * columns, where it has none (high < 0); else -2, nothing.
 */
KCL_FN ilanes kcl_ask(lanes value, lanes limit, lanes high, lanes low, long first)
{
    const ilanes place = kcl_to_ilanes((kcl_to_longs(high) << 24) + kcl_to_longs(low) - first);
    return value > limit ? (ilanes)(-2) : high < (lanes)(KCL_R(0.0)) ? (ilanes)(-1) : place;
}

/* Whether a lane's place is still to be looked at: -2 marks those that are done. */
KCL_FN bool kcl_find(ilanes asked, long *query)
{
    ireal lane[KCL_LANES];
    KCL_VSTORE(asked, lane);
    for (int l = 0; l < KCL_LANES; l++) {
        if (lane[l] >= -1) {
            *query = lane[l];
            return true;
        }
    }
    return false;
}

/* number: value, high, low. best, place: the running state. low: of a block. asked, near, found, limit: of a rescan. */
#define ARGMIN_STATE(t, d, p)                                                                                          \
    lanes number##t[3 * KCL_STATES * (d)], low##t[2 * (d)];                                                            \
    ARGMIN_FIND_STATE(t, d, p)
#define ARGMIN_FIND_STATE(t, d, p)                                                                                     \
    lanes best##t[KCL_STATES * (d)], near##t[d], limit##t[d];                                                          \
    ilanes place##t[KCL_STATES * (d)], found##t[d], asked##t[d];

#define ARGMIN_INIT(t, d, p)                                                                                           \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        number##t[3 * n] = (lanes)(INFINITY);                                                                          \
        number##t[3 * n + 1] = (lanes)(KCL_R(-1.0));                                                                   \
        number##t[3 * n + 2] = 0;                                                                                      \
    }

#define ARGMIN_ROWS_BEGIN(t, d, p)                                                                                     \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        best##t[n] = (lanes)(INFINITY);                                                                                \
        place##t[n] = -1;                                                                                              \
    }

#define ARGMIN_ROWS_END(t, d, p)                                                                                       \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        kcl_close_argmin(&number##t[3 * n], best##t[n], place##t[n], KCL_NUMBER(place##t[n]));

#define ARGMIN_TILE_BEGIN KCL_NOTHING
#define ARGMIN_TILE_END KCL_NOTHING
#define ARGMIN_MASK KCL_NOTHING

/* Two minima by turns: the next one need not wait for the last. */
#define ARGMIN_BLOCK_BEGIN(t, d, p)                                                                                    \
    FOR_INDEX(n, 0, 2 * (d))                                                                                           \
        low##t[n] = (lanes)(INFINITY);

#define ARGMIN_BLOCK_END(t, d, p)                                                                                      \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        const lanes first_low = low##t[2 * n], low = low##t[2 * n + 1] < first_low ? low##t[2 * n + 1] : first_low;    \
        const ilanes less = low < best##t[n];                                                                          \
        best##t[n] = less ? low : best##t[n];                                                                          \
        place##t[n] = less ? KCL_COLUMN(0) : place##t[n];                                                              \
    }

#define ARGMIN_STEP(t, n, value)                                                                                       \
    {                                                                                                                  \
        const lanes term = (lanes)(value);                                                                             \
        low##t[2 * (n) + v % 2] = term < low##t[2 * (n) + v % 2] ? term : low##t[2 * (n) + v % 2];                     \
    }
#define ARGMIN_STEP_PRODUCT(t, n, a, b) ARGMIN_STEP(t, n, (lanes)(a) * (lanes)(b))
#define ARGMIN_STEP_NOW(t, n, value) kcl_take_less(&best##t[n], &place##t[n], (lanes)(value), KCL_COLUMN(v));
#define ARGMIN_STEP_NOW_PRODUCT(t, n, a, b) ARGMIN_STEP_NOW(t, n, (lanes)(a) * (lanes)(b))
#define ARGMIN_RESCAN_STEP(t, n, value) kcl_take_less(&near##t[n], &found##t[n], (lanes)(value), KCL_COLUMN(v));
#define ARGMIN_RESCAN_STEP_PRODUCT(t, n, a, b) ARGMIN_RESCAN_STEP(t, n, (lanes)(a) * (lanes)(b))

#define ARGMIN_TILE_FAILS(t, d, p) 0
#define ARGMIN_LOOKS(t, d, p) 0
#define ARGMIN_LOOK_BEGIN KCL_NOTHING
#define ARGMIN_LOOK_END KCL_NOTHING

#define ARGMIN_FIND(t, d, p)                                                                                           \
    FOR_INDEX(n, 0, d)                                                                                                 \
        asked##t[n] = place##t[n];

#define ARGMIN_FIND_NEXT(t, d, p)                                                                                      \
    FOR_INDEX(n, 0, d)                                                                                                 \
        more = more || kcl_find(asked##t[n], &query);

#define ARGMIN_FIND_BEGIN(t, d, p)                                                                                     \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        near##t[n] = (lanes)(INFINITY);                                                                                \
        found##t[n] = -1;                                                                                              \
    }

#define ARGMIN_FIND_END(t, d, p)                                                                                       \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        const ilanes here = asked##t[n] == (ilanes)((ireal)query);                                                     \
        place##t[n] = here ? found##t[n] : place##t[n];                                                                \
        best##t[n] = here ? near##t[n] : best##t[n];                                                                   \
        asked##t[n] = here ? (ilanes)(-2) : asked##t[n];                                                               \
    }

/* Parts whose smallest value is at most `limit` are looked at. */
#define ARGMIN_FIND_LIMIT(t, d, p)                                                                                     \
    FOR_INDEX(n, 0, d)                                                                                                 \
        limit##t[n] = number##t[3 * n];                                                                                \
    ARGMIN_INIT(t, d, p)

#define ARGMIN_FIND_PART(t, d, p)                                                                                      \
    ARGMIN_ROWS_BEGIN(t, d, p)                                                                                         \
    FOR_INDEX(n, 0, d)                                                                                                 \
        asked##t[n] = kcl_ask(KCL_PART_(3, d, p, part, n, 0), limit##t[n], KCL_PART_(3, d, p, part, n, 1),             \
                              KCL_PART_(3, d, p, part, n, 2), first);
#define ARGMIN_FIND_CLOSE ARGMIN_ROWS_END

#define ARGMIN_CLOSE KCL_NOTHING

/* index: the exact numbers, lane by lane. */
#define ARGMIN_RESULT(t, d, p)                                                                                         \
    long index##t[d][KCL_LANES];                                                                                       \
    lanes result##t[d];                                                                                                \
    FOR_INDEX(n, 0, d)                                                                                                 \
        result##t[n] = kcl_index(&number##t[3 * n], index##t[n]);

#define ARGMIN_JOIN(a, b) kcl_join_argmin(a, b);
#define ARGMIN_JOINED(a)

/* ---- ArgMin by candidates ---------------------------------------------------------------------------------------- */

/*
 * ArgMin where steps compute values with an error, of at most `e`, and rescans without one: a step whose smallest value
 * is more than 2 e above the smallest of all columns cannot hold the result. For one component, and deferred always. A
 * part has a fourth number, the smallest value of its steps but the best one: where that is near too, the whole part is
 * looked at. KCL_MARGIN(2 t) and KCL_MARGIN(2 t + 1) are what 2 e is: a number, and a multiple of the smallest value.
 */
#define CANDIDATES_NUMBERS 4
#define CANDIDATES_RESCANS KCL_RESCAN_STEPS

#define CANDIDATES_STATE(t, d, p)                                                                                      \
    lanes number##t[4], low##t[2], second##t;                                                                          \
    ARGMIN_FIND_STATE(t, d, p)
#define CANDIDATES_FIND_STATE ARGMIN_FIND_STATE
#define CANDIDATES_INIT ARGMIN_INIT

#define CANDIDATES_ROWS_BEGIN(t, d, p)                                                                                 \
    second##t = (lanes)(INFINITY);                                                                                     \
    ARGMIN_ROWS_BEGIN(t, d, p)

#define CANDIDATES_ROWS_END(t, d, p)                                                                                   \
    number##t[3] = second##t;                                                                                          \
    ARGMIN_ROWS_END(t, d, p)

#define CANDIDATES_TILE_BEGIN KCL_NOTHING
#define CANDIDATES_TILE_END KCL_NOTHING
#define CANDIDATES_MASK KCL_NOTHING
#define CANDIDATES_BLOCK_BEGIN ARGMIN_BLOCK_BEGIN

/* What is not below the best may be the second. */
#define CANDIDATES_BLOCK_END(t, d, p)                                                                                  \
    {                                                                                                                  \
        const lanes step = low##t[1] < low##t[0] ? low##t[1] : low##t[0], more = step < best##t[0] ? best##t[0] : step; \
        second##t = more < second##t ? more : second##t;                                                               \
    }                                                                                                                  \
    ARGMIN_BLOCK_END(t, d, p)

#define CANDIDATES_STEP ARGMIN_STEP
#define CANDIDATES_STEP_PRODUCT ARGMIN_STEP_PRODUCT
#define CANDIDATES_RESCAN_STEP ARGMIN_RESCAN_STEP
#define CANDIDATES_RESCAN_STEP_PRODUCT ARGMIN_RESCAN_STEP_PRODUCT
#define CANDIDATES_TILE_FAILS(t, d, p) 0
#define CANDIDATES_LOOKS(t, d, p) 0
#define CANDIDATES_LOOK_BEGIN KCL_NOTHING
#define CANDIDATES_LOOK_END KCL_NOTHING

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
#define CANDIDATES_CLOSE KCL_NOTHING
#define CANDIDATES_RESULT ARGMIN_RESULT
#define CANDIDATES_JOIN(a, b) kcl_join_argmin(a, b);
#define CANDIDATES_JOINED(a)

/* ---- Batches that are reduced ------------------------------------------------------------------------------------ */

/*
 * With KCL_EACH a state goes through all columns of each batch in turn: the loop stands around what R_ROWS_BEGIN and
 * R_ROWS_END stand around, and begins with what is computed once per row. Parts of these batches multiply the parts of
 * columns, of which there are column_parts.
 */
#ifdef KCL_EACH
#define KCL_COLUMN_PART(part) ((part) % column_parts)
#define KCL_EACH_PART(part) ((part) / column_parts)
#define KCL_EACH_BEGIN(each_part)                                                                                      \
    for (long each = (each_part) * each_length, each_end = min(each_count, each + each_length); each < each_end; each++) {
#define KCL_EACH_END }
#define KCL_ALL_PARTS(part) (get_group_id(1) * column_parts + (part))
#else
#define KCL_COLUMN_PART(part) (part)
#define KCL_EACH_BEGIN(each_part)
#define KCL_EACH_END
#define KCL_ALL_PARTS(part) (part)
#endif

/* ---- Numbers in memory, of any reduction ------------------------------------------------------------------------- */

/* Partial states: number k of part `part` and row `row`, of a term with `count` numbers a row. */
#define KCL_PARTIAL(count, p, part, row, k) partial[(long)(p)*parts * rows + ((part)*rows + (row)) * (count) + (k)]

/* One row a lane. */
#define KCL_SAVE_LANES(R, t, d, p)                                                                                     \
    FOR_INDEX(n, 0, R##_NUMBERS *(d))                                                                                  \
        kcl_scatter(&KCL_PARTIAL(R##_NUMBERS *(d), p, part, 0, 0), i, rows, R##_NUMBERS *(d), n, number##t[n]);

/* State `state` is spread over lanes, and belongs to row `row`. */
#define KCL_SAVE_SUM(R, t, d, p)                                                                                       \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        lanes a[R##_NUMBERS + 1], b[R##_NUMBERS];                                                                      \
        FOR_INDEX(q, 0, R##_NUMBERS)                                                                                   \
            a[q] = number##t[R##_NUMBERS * (state * (d) + n) + q];                                                     \
        a[R##_NUMBERS] = 0;                                                                                            \
        for (int by = KCL_LANES / 2; by > 0; by /= 2) {                                                                \
            FOR_INDEX(q, 0, R##_NUMBERS)                                                                               \
                b[q] = kcl_shift_lanes(a[q], by);                                                                      \
            R##_JOIN(a, b)                                                                                             \
        }                                                                                                              \
        R##_JOINED(a)                                                                                                  \
        FOR_INDEX(q, 0, R##_NUMBERS)                                                                                   \
            KCL_PARTIAL(R##_NUMBERS *(d), p, part, row, R##_NUMBERS *n + q) = kcl_first_lane(a[q]);                    \
    }

#define KCL_PART_(numbers, d, p, part, n, q)                                                                           \
    kcl_gather(&KCL_PARTIAL((numbers) * (d), p, part, 0, 0), i, rows, (numbers) * (d), (numbers) * (n) + (q))

/* number: the parts of rows i, i + 1, ..., joined from first to last. */
#define KCL_MERGE(R, t, d, p)                                                                                          \
    lanes number##t[R##_NUMBERS * (d)];                                                                                \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        lanes a[R##_NUMBERS + 1], b[R##_NUMBERS];                                                                      \
        a[R##_NUMBERS] = 0;                                                                                            \
        FOR_INDEX(q, 0, R##_NUMBERS)                                                                                   \
            a[q] = KCL_PART_(R##_NUMBERS, d, p, 0, n, q);                                                              \
        for (long part = 1; part < parts; part++) {                                                                    \
            FOR_INDEX(q, 0, R##_NUMBERS)                                                                               \
                b[q] = KCL_PART_(R##_NUMBERS, d, p, part, n, q);                                                       \
            R##_JOIN(a, b)                                                                                             \
        }                                                                                                              \
        R##_JOINED(a)                                                                                                  \
        FOR_INDEX(q, 0, R##_NUMBERS)                                                                                   \
            number##t[R##_NUMBERS * n + q] = a[q];                                                                     \
    }

/* ---- Work-groups ------------------------------------------------------------------------------------------------- */

#ifdef KCL_GROUP

/*
 * The closed states of KCL_JOIN_WIDTH work-items become one, that of the first of them: the upper half puts its numbers
 * into local memory, the lower half joins them with its own, and so on. KCL_JOIN_MEMBER is the work-item's number among
 * them, KCL_JOIN_SET that of its set; `joined` is the memory; KCL_NUMBERS is the largest R_NUMBERS of the program.
 */
#define KCL_HALF ((KCL_GROUP + 1) / 2)
#define KCL_JOINED (KCL_NUMBERS * KCL_HALF)
#define KCL_JOIN_STATES(R, t, d, p)                                                                                    \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        const int member = KCL_JOIN_MEMBER, place = (KCL_JOIN_SET) * (KCL_JOIN_WIDTH / 2) + member;                    \
        for (int step = KCL_JOIN_WIDTH / 2; step > 0; step /= 2) {                                                     \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                              \
            if (member >= step && member < 2 * step) {                                                                 \
                FOR_INDEX(q, 0, R##_NUMBERS)                                                                           \
                    joined[q * KCL_HALF + place - step] = number##t[R##_NUMBERS * n + q];                              \
            }                                                                                                          \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                              \
            if (member < step) {                                                                                       \
                lanes a[R##_NUMBERS + 1], b[R##_NUMBERS];                                                              \
                a[R##_NUMBERS] = 0;                                                                                    \
                FOR_INDEX(q, 0, R##_NUMBERS)                                                                           \
                {                                                                                                      \
                    a[q] = number##t[R##_NUMBERS * n + q];                                                             \
                    b[q] = joined[q * KCL_HALF + place];                                                               \
                }                                                                                                      \
                R##_JOIN(a, b)                                                                                         \
                R##_JOINED(a)                                                                                          \
                FOR_INDEX(q, 0, R##_NUMBERS)                                                                           \
                    number##t[R##_NUMBERS * n + q] = a[q];                                                             \
            }                                                                                                          \
        }                                                                                                              \
    }

#endif

/* ---- Hooks of all terms, for KCL_TERMS --------------------------------------------------------------------------- */

#define KCL_DECLARE(R, t, d, p) R##_STATE(t, d, p)
#define KCL_INIT(R, t, d, p) R##_INIT(t, d, p)
#define KCL_ROWS_BEGIN(R, t, d, p) R##_ROWS_BEGIN(t, d, p)
#define KCL_ROWS_END(R, t, d, p) R##_ROWS_END(t, d, p)
#define KCL_TILE_BEGIN(R, t, d, p) R##_TILE_BEGIN(t, d, p)
#define KCL_TILE_END(R, t, d, p) R##_TILE_END(t, d, p)
#define KCL_MASK(R, t, d, p) R##_MASK(t, d, p)
#define KCL_BLOCK_BEGIN(R, t, d, p) R##_BLOCK_BEGIN(t, d, p)
#define KCL_BLOCK_END(R, t, d, p) R##_BLOCK_END(t, d, p)
#define KCL_TILE_FAILS(R, t, d, p) | R##_TILE_FAILS(t, d, p)
#define KCL_LOOKS(R, t, d, p) | R##_LOOKS(t, d, p)
#define KCL_LOOK_BEGIN(R, t, d, p) R##_LOOK_BEGIN(t, d, p)
#define KCL_LOOK_END(R, t, d, p) R##_LOOK_END(t, d, p)
#define KCL_FIND(R, t, d, p) R##_FIND(t, d, p)
#define KCL_FIND_NEXT(R, t, d, p) R##_FIND_NEXT(t, d, p)
#define KCL_FIND_BEGIN(R, t, d, p) R##_FIND_BEGIN(t, d, p)
#define KCL_FIND_END(R, t, d, p) R##_FIND_END(t, d, p)
#define KCL_FIND_STATE(R, t, d, p) R##_FIND_STATE(t, d, p)
#define KCL_FIND_LIMIT(R, t, d, p) R##_FIND_LIMIT(t, d, p)
#define KCL_FIND_PART(R, t, d, p) R##_FIND_PART(t, d, p)
#define KCL_FIND_CLOSE(R, t, d, p) R##_FIND_CLOSE(t, d, p)
#define KCL_CLOSE(R, t, d, p) R##_CLOSE(t, d, p)
#define KCL_RESULT(R, t, d, p) R##_RESULT(t, d, p)

#define KCL_RESCANS_OF(R, t, d, p) | R##_RESCANS
#define KCL_RESCANS (0 KCL_TERMS(KCL_RESCANS_OF))
