/* SPDX-License-Identifier: MIT */
/*
 * cl/reduce.cl: states of the reductions on a device.
 *
 * A reduction R is a set of macros R_... with the arguments t, number of the term; d, its dimension; p, the numbers of
 * state of the terms before it. Skeletons call them for all terms by KCL_TERMS. A state is first *running*: what a
 * work-item keeps while columns pass. It is then closed: R_PIECES(t) pieces of R_NUMBERS numbers of type real a component,
 * number<t>[], which can be kept in memory, and joined with those of other columns. KCL_STATES is the number of rows (or vectors of rows)
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
 *                           R_STEP_WHERE(t, n, c, a, b), of Sum alone: value = a * b where c is not 0, else no term.
 *                           Deferred: tile and block hooks, and what R_RESCANS asks for, must stand around it
 *   R_STEP_NOW, ...         the same where nothing but R_TILE_BEGIN, R_TILE_END and R_MASK stand around it
 *   R_CLOSE                 number<t>[R_NUMBERS * R_PIECES(t) * (component + d * state) + q] is number q
 *   R_RESULT                declares result<t>[], from number<t>; where there are numbers of terms, order<t>[], these as
 *                           lanes, and index<t>[][KCL_LANES], these exactly
 *   R_JOIN(t, a, b)         a points to the numbers of a component, as lanes, b to a piece of those of other columns:
 *                           R_NUMBERS of them, which a is joined with; one piece after another. What follows the numbers
 *                           of a, 0 at first, is the join's own; R_JOINED(a) adds it where it belongs
 *
 * KCL_COLUMN(v) is the column, as ilanes, that stands v behind the step's first, counted from the first one of the
 * work-item. Its number among all columns or pairs, and batches that are reduced, is KCL_NUMBER_FIRST + l KCL_NUMBER_STEP
 * more in lane l. Such numbers are longs, and are computed lane by lane: vectors of longs are wider than registers, and
 * compilers warn where functions take them.
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
 * ExpSums    for Concat(F, G), two numbers a component: m and s, the sum of 2^(F - m) (of F: the plan multiplies by
 *            log2(e)) for the first, of 2^(F - m) G for the others. As LogSumExp, with one m for all.
 * Min        a number: the smallest value.
 * KMin       K pieces of one number: the smallest values, sorted. ArgKMin: K pieces of three, as those of ArgMin but for
 *            high, which is infinity where nothing counts. A term that is not below the last of them costs a comparison;
 *            others are inserted. Deferred: the terms of a block are kept, and looked at where one of them is below it.
 *            KCL_K<t> is K.
 * ArgMin     three numbers: the value, and its column or pair as two exact ones: number = high 2^24 + low; high = -1
 *            where nothing counts. Deferred: the smallest value of a block, and in which block it was; the rescan of
 *            that block finds the column. Infinity is below nothing, so lanes that found nothing look at all columns.
 */

#ifndef KCL_STATES
#define KCL_STATES 1
#endif

/* KCL_SHAPE: what lanes are, and where states are merged. */
#define KCL_ROWS 1       /* lanes over rows; results are finished by the sweep */
#define KCL_ROWS_SPLIT 2 /* lanes over rows, columns divided into parts */
#define KCL_ROWS_BOTH 3  /* lanes over rows, both axes reduced: a part a work-item, or a work-group */
#define KCL_COLUMNS 4    /* lanes over columns, a group of rows streamed, columns divided into parts */

enum { KCL_STEP_LENGTH = KCL_STREAM }; /* streamed elements a step, where KCL_STREAM is not 1 for a while */

#define KCL_RESCAN_TILES 1
#define KCL_RESCAN_STEPS 2

#define KCL_NOTHING(t, d, p)
#define KCL_NO_STEP(t, n, value)
#define KCL_NO_STEP_PRODUCT(t, n, a, b)
#define KCL_NO_STEP_WHERE(t, n, c, a, b)

/* sum + a * b where c is not 0, else sum: what weighs nothing adds nothing, even if a or b is infinite or NaN. */
#define KCL_ADD_WHERE(c, a, b, sum)                                                                                    \
    ((lanes)(c) != (lanes)(KCL_R(0.0)) ? fma((lanes)(a), (lanes)(b), (lanes)(sum)) : (lanes)(sum))

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
#define SUM_PIECES(t) 1
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
#define SUM_STEP_WHERE(t, n, c, a, b) acc##t[n] = KCL_ADD_WHERE(c, a, b, acc##t[n]);
#define SUM_STEP_NOW_WHERE SUM_STEP_WHERE

#define SUM_RESCAN_STEP KCL_NO_STEP
#define SUM_RESCAN_STEP_PRODUCT KCL_NO_STEP_PRODUCT
#define SUM_RESCAN_STEP_WHERE KCL_NO_STEP_WHERE
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

#define SUM_JOIN(t, a, b) kcl_two_sum(&(a)[0], &(a)[1], (b)[0]);
#define SUM_JOINED(a) (a)[0] = kcl_total((a)[0], (a)[1]);

/* ---- LogSumExp --------------------------------------------------------------------------------------------------- */

#define LOGSUMEXP_NUMBERS 2
#define LOGSUMEXP_PIECES(t) 1
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

#define LOGSUMEXP_JOIN(t, a, b) kcl_join_logsumexp(a, b);
#define LOGSUMEXP_JOINED(a) (a)[1] = kcl_total((a)[1], (a)[2]);

/* ---- ArgMin ------------------------------------------------------------------------------------------------------ */

#define ARGMIN_NUMBERS 3
#define ARGMIN_PIECES(t) 1
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

/* number[1] and number[2], high and low, of `place`: the first is `none` and the second 0 where that is below 0. */
KCL_FN void kcl_number_places(lanes *number, ilanes place, long first, long step, real none)
{
    ireal lane[KCL_LANES];
    real high[KCL_LANES], low[KCL_LANES];
    KCL_VSTORE(place, lane);
    FOR_LANES
    {
        const long at = first + l * step + lane[l];
        high[l] = lane[l] < 0 ? none : (real)(at >> 24);
        low[l] = lane[l] < 0 ? KCL_R(0.0) : (real)(at & 0xffffff);
    }
    number[1] = KCL_VLOAD(high);
    number[2] = KCL_VLOAD(low);
}

/* high 2^24 + low. */
KCL_FN void kcl_exact_numbers(long *at, lanes high, lanes low)
{
    real lane[KCL_LANES], other[KCL_LANES];
    KCL_VSTORE(high, lane);
    KCL_VSTORE(low, other);
    FOR_LANES
        at[l] = (long)lane[l] * 0x1000000 + (long)other[l];
}

/* Joins the numbers with the running state. */
KCL_FN void kcl_close_argmin(lanes *number, lanes best, ilanes place, long first, long step)
{
    lanes closed[3];
    closed[0] = best;
    kcl_number_places(closed, place, first, step, KCL_R(-1.0));
    kcl_join_argmin(number, closed);
}

/* The number high 2^24 + low, exactly in `index`; -1 where there is none. */
KCL_FN lanes kcl_index(lanes high, lanes low, long *index)
{
    real lane[KCL_LANES];
    kcl_exact_numbers(index, high, low);
    FOR_LANES
    {
        index[l] = max(index[l], -1L);
        lane[l] = (real)index[l];
    }
    return KCL_VLOAD(lane);
}

/*
 * What a part's state asks for where its value is not above `limit`, which may be NaN: its place, from `first` on, or -1, all
 * columns, where it has none (high < 0); else -2, nothing.
 */
KCL_FN ilanes kcl_ask(lanes value, lanes limit, lanes high, lanes low, long first)
{
    long at[KCL_LANES];
    ireal place[KCL_LANES];
    kcl_exact_numbers(at, high, low);
    FOR_LANES
        place[l] = (ireal)(at[l] - first);
    return value > limit ? (ilanes)(-2) : high < (lanes)(KCL_R(0.0)) ? (ilanes)(-1) : KCL_VLOAD(place);
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
        kcl_close_argmin(&number##t[3 * n], best##t[n], place##t[n], KCL_NUMBER_FIRST, KCL_NUMBER_STEP);

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

#define KCL_ARGMIN_RESULT(t, d, numbers)                                                                               \
    long index##t[d][KCL_LANES];                                                                                       \
    lanes result##t[d], order##t[d];                                                                                   \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        result##t[n] = number##t[(numbers) * n];                                                                       \
        order##t[n] = kcl_index(number##t[(numbers) * n + 1], number##t[(numbers) * n + 2], index##t[n]);              \
    }
#define ARGMIN_RESULT(t, d, p) KCL_ARGMIN_RESULT(t, d, ARGMIN_NUMBERS)

#define ARGMIN_JOIN(t, a, b) kcl_join_argmin(a, b);
#define ARGMIN_JOINED(a)

/* ---- ArgMin by candidates ---------------------------------------------------------------------------------------- */

/*
 * ArgMin where steps compute values with an error, of at most `e`, and rescans without one: a step whose smallest value
 * is more than 2 e above the smallest of all columns cannot hold the result. For one component, and deferred always. A
 * part has a fourth number, the smallest value of its steps but the best one: where that is near too, the whole part is
 * looked at. KCL_MARGIN(2 t) and KCL_MARGIN(2 t + 1) are what 2 e is: a number, and a multiple of the smallest value.
 */
#define CANDIDATES_NUMBERS 4
#define CANDIDATES_PIECES(t) 1
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
#define CANDIDATES_RESULT(t, d, p) KCL_ARGMIN_RESULT(t, d, CANDIDATES_NUMBERS)
#define CANDIDATES_JOIN(t, a, b) kcl_join_argmin(a, b);
#define CANDIDATES_JOINED(a)

/* ---- ExpSums ----------------------------------------------------------------------------------------------------- */

#define EXPSUMS_NUMBERS 2
#define EXPSUMS_PIECES(t) 1
#define EXPSUMS_RESCANS KCL_RESCAN_TILES

/* shift, base, top, failed: as those of LogSumExp, one for all components. power: 2^(F - m) of the step's elements. */
#define EXPSUMS_STATE(t, d, p)                                                                                         \
    enum { width##t = (d) };                                                                                           \
    lanes acc##t[KCL_STATES * (d)], number##t[2 * KCL_STATES * (d)], rest##t[KCL_STATES * (d)];                        \
    lanes shift##t[KCL_STATES], base##t[KCL_STATES], top##t, power##t[KCL_STEP_LENGTH];                                \
    ilanes failed##t;

#define EXPSUMS_INIT(t, d, p)                                                                                          \
    FOR_INDEX(n, 0, KCL_STATES)                                                                                        \
        shift##t[n] = (lanes)(KCL_REAL_MAX);                                                                           \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        number##t[2 * n + 1] = rest##t[n] = 0;

#define EXPSUMS_ROWS_BEGIN KCL_NOTHING
#define EXPSUMS_ROWS_END KCL_NOTHING

#define EXPSUMS_TILE_BEGIN(t, d, p)                                                                                    \
    FOR_INDEX(n, 0, KCL_STATES)                                                                                        \
        base##t[n] = shift##t[n];                                                                                      \
    SUM_TILE_BEGIN(t, d, p)

#define EXPSUMS_TILE_END(t, d, p)                                                                                      \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        kcl_rescale(&number##t[2 * n + 1], &rest##t[n], base##t[n / (d)], shift##t[n / (d)]);                          \
        kcl_two_sum(&number##t[2 * n + 1], &rest##t[n], acc##t[n]);                                                    \
    }

#define EXPSUMS_MASK SUM_MASK
#define EXPSUMS_BLOCK_BEGIN KCL_NOTHING
#define EXPSUMS_BLOCK_END KCL_NOTHING

/* Of component + d * state, either; steps of one state need no division. */
#define KCL_COMPONENT_OF(t, n) (KCL_STATES == 1 ? (n) : (n) % width##t)
#define KCL_STATE_OF(t, n) (KCL_STATES == 1 ? 0 : (n) / width##t)

#define KCL_WEIGH(t, n, value) acc##t[n] = KCL_ADD_WHERE(power##t[v], power##t[v], value, acc##t[n]);

/* The exponent comes first: that of element v is kept for the components that follow. */
#define EXPSUMS_STEP(t, n, value)                                                                                      \
    if (KCL_COMPONENT_OF(t, n) == 0) {                                                                                 \
        power##t[v] = kcl_exp2((lanes)(value) + shift##t[KCL_STATE_OF(t, n)]);                                         \
        acc##t[n] += power##t[v];                                                                                      \
    } else {                                                                                                           \
        KCL_WEIGH(t, n, value)                                                                                         \
    }
#define EXPSUMS_STEP_PRODUCT(t, n, a, b) EXPSUMS_STEP(t, n, (lanes)(a) * (lanes)(b))

#define EXPSUMS_STEP_NOW(t, n, value)                                                                                  \
    if (KCL_COMPONENT_OF(t, n) == 0) {                                                                                 \
        power##t[v] = kcl_raise(&acc##t[n], width##t, &shift##t[KCL_STATE_OF(t, n)], (lanes)(value));                  \
        acc##t[n] += power##t[v];                                                                                      \
    } else {                                                                                                           \
        KCL_WEIGH(t, n, value)                                                                                         \
    }
#define EXPSUMS_STEP_NOW_PRODUCT(t, n, a, b) EXPSUMS_STEP_NOW(t, n, (lanes)(a) * (lanes)(b))

/* m becomes `term` where that is larger, for all sums; returns 2^(term - m). */
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
#define EXPSUMS_RESCAN_STEP_PRODUCT(t, n, a, b) EXPSUMS_RESCAN_STEP(t, n, (lanes)(a) * (lanes)(b))

#define EXPSUMS_TILE_FAILS(t, d, p) kcl_any_failed(acc##t, shift##t, number##t, 1)
#define EXPSUMS_LOOKS(t, d, p) kcl_any_unset(shift##t, number##t, 1)
#define EXPSUMS_LOOK_BEGIN(t, d, p)                                                                                    \
    failed##t = kcl_failed(acc##t[0], shift##t[0], number##t[1]) | kcl_unset(shift##t[0], number##t[1]);               \
    top##t = (lanes)(-KCL_REAL_MAX);
#define EXPSUMS_LOOK_END(t, d, p)                                                                                      \
    shift##t[0] = kcl_shift_to(shift##t[0], top##t, failed##t);                                                        \
    SUM_TILE_BEGIN(t, d, p)

#define EXPSUMS_FIND KCL_NOTHING
#define EXPSUMS_FIND_STATE KCL_NOTHING
#define EXPSUMS_FIND_LIMIT KCL_NOTHING
#define EXPSUMS_FIND_PART KCL_NOTHING
#define EXPSUMS_FIND_CLOSE KCL_NOTHING
#define EXPSUMS_FIND_NEXT KCL_NOTHING
#define EXPSUMS_FIND_BEGIN KCL_NOTHING
#define EXPSUMS_FIND_END KCL_NOTHING

#define EXPSUMS_CLOSE(t, d, p)                                                                                         \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        number##t[2 * n] = -shift##t[n / (d)];                                                                         \
        number##t[2 * n + 1] = kcl_total(number##t[2 * n + 1], rest##t[n]);                                            \
    }

#define EXPSUMS_RESULT(t, d, p)                                                                                        \
    lanes result##t[(d) + 1];                                                                                          \
    result##t[0] = number##t[0] * KCL_R(0x1.62e42fefa39efp-1);                                                         \
    FOR_INDEX(n, 0, d)                                                                                                 \
        result##t[n + 1] = number##t[2 * n + 1];

#define EXPSUMS_JOIN LOGSUMEXP_JOIN
#define EXPSUMS_JOINED LOGSUMEXP_JOINED

/* ---- Min --------------------------------------------------------------------------------------------------------- */

#define MIN_NUMBERS 1
#define MIN_PIECES(t) 1
#define MIN_RESCANS 0

/* Two minima by turns: the next one need not wait for the last. */
#define MIN_STATE(t, d, p) lanes number##t[KCL_STATES * (d)], low##t[2 * KCL_STATES * (d)];
#define MIN_INIT(t, d, p)                                                                                              \
    FOR_INDEX(n, 0, 2 * KCL_STATES *(d))                                                                               \
        low##t[n] = (lanes)(INFINITY);

#define MIN_ROWS_BEGIN KCL_NOTHING
#define MIN_ROWS_END KCL_NOTHING
#define MIN_TILE_BEGIN KCL_NOTHING
#define MIN_TILE_END KCL_NOTHING
#define MIN_MASK KCL_NOTHING
#define MIN_BLOCK_BEGIN KCL_NOTHING
#define MIN_BLOCK_END KCL_NOTHING
#define MIN_STEP ARGMIN_STEP
#define MIN_STEP_PRODUCT ARGMIN_STEP_PRODUCT
#define MIN_STEP_NOW ARGMIN_STEP
#define MIN_STEP_NOW_PRODUCT ARGMIN_STEP_PRODUCT
#define MIN_RESCAN_STEP KCL_NO_STEP
#define MIN_RESCAN_STEP_PRODUCT KCL_NO_STEP_PRODUCT
#define MIN_TILE_FAILS(t, d, p) 0
#define MIN_LOOKS(t, d, p) 0
#define MIN_LOOK_BEGIN KCL_NOTHING
#define MIN_LOOK_END KCL_NOTHING
#define MIN_FIND KCL_NOTHING
#define MIN_FIND_STATE KCL_NOTHING
#define MIN_FIND_LIMIT KCL_NOTHING
#define MIN_FIND_PART KCL_NOTHING
#define MIN_FIND_CLOSE KCL_NOTHING
#define MIN_FIND_NEXT KCL_NOTHING
#define MIN_FIND_BEGIN KCL_NOTHING
#define MIN_FIND_END KCL_NOTHING

#define MIN_CLOSE(t, d, p)                                                                                             \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
        number##t[n] = low##t[2 * n + 1] < low##t[2 * n] ? low##t[2 * n + 1] : low##t[2 * n];

#define MIN_RESULT SUM_RESULT
#define MIN_JOIN(t, a, b) (a)[0] = (b)[0] < (a)[0] ? (b)[0] : (a)[0];
#define MIN_JOINED(a)

/* ---- KMin -------------------------------------------------------------------------------------------------------- */

#define KMIN_NUMBERS 1
#define KMIN_PIECES(t) KCL_K##t
#define KMIN_RESCANS 0

/* On GPUs short lists are in registers, which have no index. */
#ifdef KCL_SHORT_LISTS
#define FOR_LIST(q, last) _Pragma("unroll") for (int q = (last); q > 0; q--)
#else
#define FOR_LIST(q, last) _Pragma("nounroll") for (int q = (last); q > 0; q--)
#endif
#define KCL_LONG_LIST 16 /* from which on it is asked whether an insertion has ended */

/* Lanes beyond the last element repeat it and do not count, where lanes become one state. */
#define KCL_CUT ((KCL_SHAPE == KCL_ROWS_BOTH || KCL_SHAPE == KCL_COLUMNS) && i + KCL_LANES > lane_count)

/* Inserts x into the sorted list `best` of `count` values. */
KCL_FN void kcl_insert_value(lanes *best, int count, lanes x)
{
    ilanes here = x < best[count - 1];
    FOR_LIST(q, count - 1)
    {
        const lanes before = best[q - 1];
        const ilanes more = x < before;
        best[q] = more ? before : here ? x : best[q];
        here = more;
        if (count > KCL_LONG_LIST && !KCL_ANY(here))
            return;
    }
    best[0] = here ? x : best[0];
}

KCL_FN void kcl_offer_value(lanes *best, int count, lanes x, bool cut, long first, long lane_count)
{
    if (!KCL_ANY(x < best[count - 1]))
        return;
    kcl_insert_value(best, count, cut ? kcl_mask_lanes(x, (lanes)(INFINITY), first, lane_count) : x);
}

/* The list is the state. */
#define KMIN_STATE(t, d, p)                                                                                            \
    bool stepped##t, skips##t;                                                                                         \
    lanes number##t[KCL_K##t * KCL_STATES * (d)] KCL_BLOCK_STATE(t, d)
#define KMIN_INIT(t, d, p)                                                                                             \
    FOR_INDEX(n, 0, KCL_K##t *KCL_STATES *(d))                                                                         \
        number##t[n] = (lanes)(INFINITY);

#define KMIN_ROWS_BEGIN KCL_NOTHING
#define KMIN_ROWS_END KCL_NOTHING

/* A tile that is begun anew for another term has been offered already. */
#define KMIN_TILE_BEGIN(t, d, p) stepped##t = skips##t = false;
#define KMIN_TILE_END KCL_NOTHING
#define KMIN_MASK KCL_NOTHING
#define KMIN_STEP_NOW(t, n, value)                                                                                     \
    if (!skips##t)                                                                                                     \
        kcl_offer_value(&number##t[KCL_K##t * (n)], KCL_K##t, (lanes)(value), KCL_CUT, i, lane_count);
#define KMIN_STEP_NOW_PRODUCT(t, n, a, b) KMIN_STEP_NOW(t, n, (lanes)(a) * (lanes)(b))

/* A block's terms are kept and their smallest is compared, where that costs no registers. */
#ifdef KCL_GROUP
#define KCL_BLOCK_STATE(t, d) ;
#define KMIN_BLOCK_BEGIN(t, d, p) stepped##t = true;
#define KMIN_BLOCK_END KCL_NOTHING
#define KMIN_STEP KMIN_STEP_NOW
#define KMIN_STEP_PRODUCT KMIN_STEP_NOW_PRODUCT
#else
#define KCL_BLOCK_STATE(t, d) , low##t[d], offered##t[KCL_STEP_LENGTH * (d)];
#define KMIN_BLOCK_BEGIN(t, d, p)                                                                                      \
    stepped##t = true;                                                                                                 \
    FOR_INDEX(n, 0, d)                                                                                                 \
        low##t[n] = (lanes)(INFINITY);
#define KMIN_BLOCK_END(t, d, p)                                                                                        \
    FOR_INDEX(n, 0, d)                                                                                                 \
        if (KCL_ANY(low##t[n] < number##t[KCL_K##t * n + KCL_K##t - 1]))                                               \
            for (int v = 0; v < KCL_STREAM; v++) {                                                                     \
                KMIN_STEP_NOW(t, n, offered##t[KCL_STEP_LENGTH * n + v])                                               \
            }
#define KMIN_STEP(t, n, value)                                                                                         \
    {                                                                                                                  \
        const lanes term = (lanes)(value);                                                                             \
        offered##t[KCL_STEP_LENGTH * (n) + v] = term;                                                                  \
        low##t[n] = term < low##t[n] ? term : low##t[n];                                                               \
    }
#define KMIN_STEP_PRODUCT(t, n, a, b) KMIN_STEP(t, n, (lanes)(a) * (lanes)(b))
#endif

#define KMIN_RESCAN_STEP KCL_NO_STEP
#define KMIN_RESCAN_STEP_PRODUCT KCL_NO_STEP_PRODUCT
#define KMIN_TILE_FAILS(t, d, p) 0
#define KMIN_LOOKS(t, d, p) 0
#define KMIN_LOOK_BEGIN KCL_NOTHING
#define KMIN_LOOK_END(t, d, p) skips##t = stepped##t;
#define KMIN_FIND KCL_NOTHING
#define KMIN_FIND_STATE KCL_NOTHING
#define KMIN_FIND_LIMIT KCL_NOTHING
#define KMIN_FIND_PART KCL_NOTHING
#define KMIN_FIND_CLOSE KCL_NOTHING
#define KMIN_FIND_NEXT KCL_NOTHING
#define KMIN_FIND_BEGIN KCL_NOTHING
#define KMIN_FIND_END KCL_NOTHING
#define KMIN_CLOSE KCL_NOTHING

/* Value q of component n is result q d + n. */
#define KMIN_RESULT(t, d, p)                                                                                           \
    lanes result##t[KCL_K##t * (d)];                                                                                   \
    FOR_INDEX(n, 0, KCL_K##t *(d))                                                                                     \
        result##t[n] = number##t[KCL_K##t * (n % (d)) + n / (d)];

#define KMIN_JOIN(t, a, b) kcl_join_value(a, KCL_K##t, (b)[0]);
#define KMIN_JOINED(a)

KCL_FN void kcl_join_value(lanes *a, int count, lanes b)
{
    if (KCL_ANY(b < a[count - 1]))
        kcl_insert_value(a, count, b);
}

/* ---- ArgKMin ----------------------------------------------------------------------------------------------------- */

#define ARGKMIN_NUMBERS 3
#define ARGKMIN_PIECES(t) KCL_K##t
#define ARGKMIN_RESCANS 0

/*
 * Inserts x, of column `column`, into the sorted lists. What is not filled yet is NaN: nothing is at least NaN, so that
 * infinity goes before it as any value does. Behind equal values, which are of smaller columns. `limit` is the last of the
 * list, or `bound`, below which a value must be as well; `full`: no list has room left.
 */
KCL_FN void kcl_offer(lanes *best, ilanes *place, int count, bool *full, lanes *limit, lanes bound, lanes x,
                      ilanes column, bool cut, long first, long lane_count)
{
#ifndef KCL_GROUP
    /* Full lists hold no NaN: what is not below the last goes nowhere by itself. */
    if (*full && !cut) {
        if (!KCL_ANY(x < *limit))
            return;
        lanes here = best[count - 1];
        ilanes place_here = place[count - 1], below = x < here;
        FOR_LIST(q, count - 1)
        {
            const lanes before = best[q - 1];
            const ilanes place_before = place[q - 1], more = x < before;
            best[q] = more ? before : below ? x : here;
            place[q] = more ? place_before : below ? column : place_here;
            here = before;
            place_here = place_before;
            below = more;
            if (count > KCL_LONG_LIST && !KCL_ANY(below))
                break;
        }
        best[0] = below ? x : best[0];
        place[0] = below ? column : place[0];
        *limit = best[count - 1] < bound ? best[count - 1] : bound == bound ? bound : best[count - 1];
        return;
    }
#endif
    if (!KCL_ANY(((x >= *limit) == 0) & (x == x)))
        return;
    x = cut ? kcl_mask_lanes(x, (lanes)(NAN), first, lane_count) : x;
    const ilanes counts = x == x;
    ilanes here = ((x >= *limit) == 0) & counts;
    FOR_LIST(q, count - 1)
    {
        const lanes before = best[q - 1];
        const ilanes place_before = place[q - 1], more = ((x >= before) == 0) & counts & here;
        best[q] = more ? before : here ? x : best[q];
        place[q] = more ? place_before : here ? column : place[q];
        here = more;
        if (count > KCL_LONG_LIST && !KCL_ANY(here))
            break;
    }
    best[0] = here ? x : best[0];
    place[0] = here ? column : place[0];
    const lanes last = best[count - 1];
    *limit = ((last < bound) | (bound != bound)) ? last : bound;
    *full = !cut && !KCL_ANY(place[count - 1] < 0);
}

/* a: a sorted list of value, high, low. b: one of these. */
KCL_FN ilanes kcl_precedes(const lanes *b, const lanes *a)
{
    return (b[0] < a[0]) | ((b[0] == a[0]) & ((b[1] < a[1]) | ((b[1] == a[1]) & (b[2] < a[2]))));
}

KCL_FN void kcl_join_argkmin(lanes *a, int count, const lanes *b)
{
    ilanes here = kcl_precedes(b, a + 3 * (count - 1));
    if (!KCL_ANY(here))
        return;
    FOR_LIST(q, count - 1)
    {
        const ilanes more = kcl_precedes(b, a + 3 * (q - 1));
        for (int r = 0; r < 3; r++)
            a[3 * q + r] = more ? a[3 * (q - 1) + r] : here ? b[r] : a[3 * q + r];
        here = more;
        if (count > KCL_LONG_LIST && !KCL_ANY(here))
            return;
    }
    for (int r = 0; r < 3; r++)
        a[r] = here ? b[r] : a[r];
}

/* What a place of the running list is among the numbers. */
KCL_FN void kcl_close_argkmin(lanes *number, lanes best, ilanes place, long first, long step)
{
    number[0] = place < 0 ? (lanes)(INFINITY) : best;
    kcl_number_places(number, place, first, step, INFINITY);
}

/* best, place: the running lists, of one vector of rows. bound: of the lists of earlier rows, where these are joined. */
#define ARGKMIN_STATE(t, d, p)                                                                                         \
    bool stepped##t, skips##t, full##t[KCL_STATES * (d)];                                                              \
    ilanes place##t[KCL_K##t * KCL_STATES * (d)];                                                                      \
    lanes number##t[3 * KCL_K##t * KCL_STATES * (d)], best##t[KCL_K##t * KCL_STATES * (d)];                            \
    lanes limit##t[KCL_STATES * (d)], bound##t[KCL_STATES * (d)] KCL_BLOCK_STATE(t, d)

#define ARGKMIN_INIT(t, d, p)                                                                                          \
    FOR_INDEX(n, 0, KCL_K##t *KCL_STATES *(d))                                                                         \
    {                                                                                                                  \
        number##t[3 * n] = number##t[3 * n + 1] = (lanes)(INFINITY);                                                   \
        number##t[3 * n + 2] = 0;                                                                                      \
    }

#define ARGKMIN_ROWS_BEGIN(t, d, p)                                                                                    \
    FOR_INDEX(n, 0, KCL_K##t *KCL_STATES *(d))                                                                         \
    {                                                                                                                  \
        best##t[n] = (lanes)(NAN);                                                                                     \
        place##t[n] = -1;                                                                                              \
    }                                                                                                                  \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        const lanes last = number##t[3 * (KCL_K##t * n + KCL_K##t - 1)];                                               \
        full##t[n] = false;                                                                                            \
        limit##t[n] = bound##t[n] = number##t[3 * (KCL_K##t * n + KCL_K##t - 1) + 1] < (lanes)(INFINITY)               \
                                        ? last                                                                         \
                                        : (lanes)(NAN);                                                                \
    }

#define ARGKMIN_ROWS_END(t, d, p)                                                                                      \
    FOR_INDEX(n, 0, KCL_K##t *KCL_STATES *(d))                                                                         \
    {                                                                                                                  \
        lanes closed[3];                                                                                               \
        kcl_close_argkmin(closed, best##t[n], place##t[n], KCL_NUMBER_FIRST, KCL_NUMBER_STEP);                                   \
        if (KCL_SHAPE == KCL_ROWS_BOTH || KCL_GOES_ON) {                                                               \
            kcl_join_argkmin(&number##t[3 * KCL_K##t * (n / KCL_K##t)], KCL_K##t, closed);                             \
        } else {                                                                                                       \
            number##t[3 * n] = closed[0];                                                                              \
            number##t[3 * n + 1] = closed[1];                                                                          \
            number##t[3 * n + 2] = closed[2];                                                                          \
        }                                                                                                              \
    }

#define ARGKMIN_TILE_BEGIN KMIN_TILE_BEGIN
#define ARGKMIN_TILE_END KCL_NOTHING
#define ARGKMIN_MASK KCL_NOTHING
#define ARGKMIN_STEP_NOW(t, n, value)                                                                                  \
    if (!skips##t)                                                                                                     \
        kcl_offer(&best##t[KCL_K##t * (n)], &place##t[KCL_K##t * (n)], KCL_K##t, &full##t[n], &limit##t[n], bound##t[n], \
                  (lanes)(value), KCL_COLUMN(v), KCL_CUT, i, lane_count);
#define ARGKMIN_STEP_NOW_PRODUCT(t, n, a, b) ARGKMIN_STEP_NOW(t, n, (lanes)(a) * (lanes)(b))

#ifdef KCL_GROUP
#define ARGKMIN_BLOCK_BEGIN KMIN_BLOCK_BEGIN
#define ARGKMIN_BLOCK_END KCL_NOTHING
#define ARGKMIN_STEP ARGKMIN_STEP_NOW
#define ARGKMIN_STEP_PRODUCT ARGKMIN_STEP_NOW_PRODUCT
#else
#define ARGKMIN_BLOCK_BEGIN KMIN_BLOCK_BEGIN
#define ARGKMIN_BLOCK_END(t, d, p)                                                                                     \
    FOR_INDEX(n, 0, d)                                                                                                 \
        if (KCL_ANY((low##t[n] >= limit##t[n]) == 0))                                                                  \
            for (int v = 0; v < KCL_STREAM; v++) {                                                                     \
                ARGKMIN_STEP_NOW(t, n, offered##t[KCL_STEP_LENGTH * n + v])                                            \
            }
#define ARGKMIN_STEP KMIN_STEP
#define ARGKMIN_STEP_PRODUCT KMIN_STEP_PRODUCT
#endif

#define ARGKMIN_RESCAN_STEP KCL_NO_STEP
#define ARGKMIN_RESCAN_STEP_PRODUCT KCL_NO_STEP_PRODUCT
#define ARGKMIN_TILE_FAILS(t, d, p) 0
#define ARGKMIN_LOOKS(t, d, p) 0
#define ARGKMIN_LOOK_BEGIN KCL_NOTHING
#define ARGKMIN_LOOK_END KMIN_LOOK_END
#define ARGKMIN_FIND KCL_NOTHING
#define ARGKMIN_FIND_STATE KCL_NOTHING
#define ARGKMIN_FIND_LIMIT KCL_NOTHING
#define ARGKMIN_FIND_PART KCL_NOTHING
#define ARGKMIN_FIND_CLOSE KCL_NOTHING
#define ARGKMIN_FIND_NEXT KCL_NOTHING
#define ARGKMIN_FIND_BEGIN KCL_NOTHING
#define ARGKMIN_FIND_END KCL_NOTHING
#define ARGKMIN_CLOSE KCL_NOTHING

#define ARGKMIN_RESULT(t, d, p)                                                                                        \
    long index##t[KCL_K##t * (d)][KCL_LANES];                                                                          \
    lanes result##t[KCL_K##t * (d)], order##t[KCL_K##t * (d)];                                                         \
    FOR_INDEX(n, 0, KCL_K##t *(d))                                                                                     \
    {                                                                                                                  \
        const int at = 3 * (KCL_K##t * (n % (d)) + n / (d));                                                           \
        const lanes high = number##t[at + 1];                                                                          \
        result##t[n] = number##t[at];                                                                                  \
        order##t[n] = kcl_index(high < (lanes)(INFINITY) ? high : (lanes)(KCL_R(-1.0)), number##t[at + 2], index##t[n]); \
    }

#define ARGKMIN_JOIN(t, a, b) kcl_join_argkmin(a, KCL_K##t, b);
#define ARGKMIN_JOINED(a)

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
#define KCL_OF_EACH(count) +each * (count) /* of the terms of those before */
#define KCL_GOES_ON 1                      /* a state outlives its columns */
#define KCL_ALL_PARTS(part) (get_group_id(1) * column_parts + (part))
#else
#define KCL_COLUMN_PART(part) (part)
#define KCL_EACH_BEGIN(each_part)
#define KCL_EACH_END
#define KCL_OF_EACH(count)
#define KCL_GOES_ON 0
#define KCL_ALL_PARTS(part) (part)
#endif

/* ---- Numbers in memory, of any reduction ------------------------------------------------------------------------- */

/* Partial states: number k of part `part` and row `row`, of a term with `count` numbers a row. */
#define KCL_PARTIAL(count, p, part, row, k) partial[(long)(p)*parts * rows + ((part)*rows + (row)) * (count) + (k)]

#define KCL_COUNT(R, t) (R##_NUMBERS * R##_PIECES(t)) /* numbers of a component */

/* One row a lane. */
#define KCL_SAVE_LANES(R, t, d, p)                                                                                     \
    FOR_INDEX(n, 0, KCL_COUNT(R, t) * (d))                                                                             \
        kcl_scatter(&KCL_PARTIAL(KCL_COUNT(R, t) * (d), p, part, 0, 0), i, rows, KCL_COUNT(R, t) * (d), n, number##t[n]);

/* State `state` is spread over lanes, and belongs to row `row`. */
#define KCL_SAVE_SUM(R, t, d, p)                                                                                       \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        lanes a[KCL_COUNT(R, t) + 1], b[KCL_COUNT(R, t)];                                                              \
        FOR_INDEX(q, 0, KCL_COUNT(R, t))                                                                               \
            a[q] = number##t[KCL_COUNT(R, t) * (state * (d) + n) + q];                                                 \
        a[KCL_COUNT(R, t)] = 0;                                                                                        \
        for (int by = KCL_LANES / 2; by > 0; by /= 2) {                                                                \
            FOR_INDEX(q, 0, KCL_COUNT(R, t))                                                                           \
                b[q] = kcl_shift_lanes(a[q], by);                                                                      \
            FOR_INDEX(piece, 0, R##_PIECES(t))                                                                         \
            {                                                                                                          \
                R##_JOIN(t, a, b + R##_NUMBERS * piece)                                                                \
            }                                                                                                          \
        }                                                                                                              \
        R##_JOINED(a)                                                                                                  \
        FOR_INDEX(q, 0, KCL_COUNT(R, t))                                                                               \
            KCL_PARTIAL(KCL_COUNT(R, t) * (d), p, part, row, KCL_COUNT(R, t) * n + q) = kcl_first_lane(a[q]);          \
    }

#define KCL_PART_(numbers, d, p, part, n, q)                                                                           \
    kcl_gather(&KCL_PARTIAL((numbers) * (d), p, part, 0, 0), i, rows, (numbers) * (d), (numbers) * (n) + (q))

/* number: the parts of rows i, i + 1, ..., joined from first to last. */
#define KCL_MERGE(R, t, d, p)                                                                                          \
    lanes number##t[KCL_COUNT(R, t) * (d)];                                                                            \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        lanes a[KCL_COUNT(R, t) + 1], b[R##_NUMBERS];                                                                  \
        a[KCL_COUNT(R, t)] = 0;                                                                                        \
        FOR_INDEX(q, 0, KCL_COUNT(R, t))                                                                               \
            a[q] = KCL_PART_(KCL_COUNT(R, t), d, p, 0, n, q);                                                          \
        for (long part = 1; part < parts; part++) {                                                                    \
            FOR_INDEX(piece, 0, R##_PIECES(t))                                                                         \
            {                                                                                                          \
                FOR_INDEX(q, 0, R##_NUMBERS)                                                                           \
                    b[q] = KCL_PART_(KCL_COUNT(R, t), d, p, part, n, R##_NUMBERS * piece + q);                         \
                R##_JOIN(t, a, b)                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        R##_JOINED(a)                                                                                                  \
        FOR_INDEX(q, 0, KCL_COUNT(R, t))                                                                               \
            number##t[KCL_COUNT(R, t) * n + q] = a[q];                                                                 \
    }

/* ---- Work-groups ------------------------------------------------------------------------------------------------- */

#ifdef KCL_GROUP

/*
 * The closed states of KCL_JOIN_WIDTH work-items become one, that of the first of them: the upper half puts its numbers
 * into local memory, piece by piece, the lower half joins them with its own, and so on. KCL_JOIN_MEMBER is the work-item's number among
 * them, KCL_JOIN_SET that of its set; `joined` is the memory; KCL_NUMBERS is the largest R_NUMBERS of the program.
 */
#define KCL_HALF ((KCL_GROUP + 1) / 2)
#define KCL_JOINED (KCL_NUMBERS * KCL_HALF)
#define KCL_JOIN_STATES(R, t, d, p)                                                                                    \
    FOR_INDEX(n, 0, KCL_STATES *(d))                                                                                   \
    {                                                                                                                  \
        const int member = KCL_JOIN_MEMBER, place = (KCL_JOIN_SET) * (KCL_JOIN_WIDTH / 2) + member;                    \
        _Pragma("unroll 1") for (int step = KCL_JOIN_WIDTH / 2; step > 0; step /= 2) {                                 \
            lanes a[KCL_COUNT(R, t) + 1], b[R##_NUMBERS];                                                              \
            a[KCL_COUNT(R, t)] = 0;                                                                                    \
            FOR_INDEX(q, 0, KCL_COUNT(R, t))                                                                           \
                a[q] = number##t[KCL_COUNT(R, t) * n + q];                                                             \
            FOR_INDEX(piece, 0, R##_PIECES(t))                                                                         \
            {                                                                                                          \
                barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
                if (member >= step && member < 2 * step) {                                                             \
                    FOR_INDEX(q, 0, R##_NUMBERS)                                                                       \
                        joined[q * KCL_HALF + place - step] = a[R##_NUMBERS * piece + q];                              \
                }                                                                                                      \
                barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
                if (member < step) {                                                                                   \
                    FOR_INDEX(q, 0, R##_NUMBERS)                                                                       \
                        b[q] = joined[q * KCL_HALF + place];                                                           \
                    R##_JOIN(t, a, b)                                                                                  \
                }                                                                                                      \
            }                                                                                                          \
            if (member < step) {                                                                                       \
                R##_JOINED(a)                                                                                          \
                FOR_INDEX(q, 0, KCL_COUNT(R, t))                                                                       \
                    number##t[KCL_COUNT(R, t) * n + q] = a[q];                                                         \
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
