/* SPDX-License-Identifier: MIT */
/*
 * cl/reduce.cl: the common part of the states of all reductions on a device.
 *
 * A reduction R has a row in src/reduce/sweep_reductions.def and a file in cl/reduce, which defines macros R_... with
 * the arguments t, number of the term; d, its dimension; p, the numbers of state of the terms before it. A program has
 * the files of its own reductions alone, and in front of them text that is generated from the rows
 * (src/render/hooks.c): R_NUMBERS, R_PIECES and, for each hook of the list below, the macro KCL_<hook>, by which
 * skeletons call it for all terms that have it.
 *
 * A state is first *running*: a work-item keeps it while columns pass. Then the state is closed: number<t>[] holds
 * R_PIECES(t) pieces of R_NUMBERS numbers of type real for each component, which can be kept in memory and joined with
 * the closed states of other columns. KCL_STATES is the number of rows (or vectors of rows) whose states a work-item
 * keeps: 1, or the streamed rows of the shape "columns". Hooks, of which those in brackets may be missing:
 *
 *   KCL_DECLARE             declares the arrays of the rows; no hook of a file
 *   INIT                    sets them to the state of no columns
 *   [ROWS_BEGIN, _END]      around all columns that one vector of rows meets; where a state outlives its rows because
 *                           both axes are reduced, they come several times between INIT and CLOSE
 *   [TILE_BEGIN, _END]      around a tile, columns whose terms are added up before they meet the others
 *   [MASK]                  before TILE_END: takes the terms of lanes beyond the last element out of the tile
 *   [BLOCK_BEGIN, _END]     around a block, KCL_STREAM columns from j on
 *   STEP(t, n, value)       one column's term, n = component + d * state. Deferred: tile and block hooks, and another
 *                           look (below), must stand around it
 *   [STEP_PRODUCT]          (t, n, a, b): value = a * b; else STEP of the product
 *   [STEP_WHERE]            (t, n, c, a, b): value = a * b where c is not 0, else no term. Without it products with
 *                           conditions are values as others are
 *   [STEP_NOW]              STEP where nothing but TILE_BEGIN, TILE_END and MASK stand around it; else STEP is that,
 *                           too.
 *   [STEP_NOW_PRODUCT]      STEP_NOW of a product
 *   [CLOSE]                 then number<t>[R_NUMBERS * R_PIECES(t) * (component + d * state) + q] is number q
 *   RESULT                  fills result<t>[], from number<t>; where there are numbers of terms, order<t>[], these as
 *                           lanes, and index<t>[][KCL_LANES], these exactly. All are declared in front of it
 *   JOIN(t, a, b)           a points to the numbers of a component, as lanes, b to a piece of the same component of
 *                           other columns. Joins a with the R_NUMBERS numbers of b; called for one piece after another.
 *                           The element behind the numbers of a, 0 at first, is the join's own
 *   [JOINED(a)]             adds the element behind the numbers of a to the number that needs it
 *
 * KCL_COLUMN(v) is the column, as ilanes, that stands v behind the step's first, counted from the first one of the
 * work-item. Its number among all columns or pairs, and batches that are reduced, is KCL_NUMBER_FIRST + l
 * KCL_NUMBER_STEP more in lane l. Such numbers are longs, and are computed lane by lane: vectors of longs are wider
 * than registers, and compilers warn where functions take them.
 *
 * A deferred step leaves something to be looked at again. KCL_RESCANS is a set of
 *
 *   KCL_RESCAN_TILES   for reductions with TILE_FAILS. Where LOOKS(t, d, p), behind TILE_BEGIN, some columns of the
 *                      tile are looked at first: LOOK_BEGIN, they with RESCAN_STEP, LOOK_END. Where TILE_FAILS(t, d,
 *                      p), in front of TILE_END, all are looked at and the tile is begun anew: LOOK_END of every term
 *                      forgets the steps since TILE_BEGIN, unless a repeated step changes nothing
 *   KCL_RESCAN_STEPS   for reductions with FIND_NEXT. In front of ROWS_END: FIND; then, as long as FIND_NEXT sets
 *                      `more` and `query` to a place that lanes remember, a step's first column, or -1, all columns:
 *                      FIND_BEGIN, these columns with RESCAN_STEP, FIND_END. Or, where columns are divided, behind the
 *                      join of all parts (KCL_DEFERRED): KCL_FIND_STATE declares the arrays of these hooks, FIND_LIMIT;
 *                      then, for each part, FIND_PART, the same queries among its columns, FIND_CLOSE
 *
 * RESCAN_STEP changes only arrays that these hooks of the same reduction read, so a rescan for one term leaves other
 * terms alone.
 */

#ifndef KCL_STATES
#define KCL_STATES 1
#endif

/* KCL_SHAPE: the axis that lanes run over, and the kernel that merges states. */
#define KCL_ROWS 1       /* lanes over rows; results are finished by the sweep */
#define KCL_ROWS_SPLIT 2 /* lanes over rows, columns divided into parts */
#define KCL_ROWS_BOTH 3  /* lanes over rows, both axes reduced: a part a work-item, or a work-group */
#define KCL_COLUMNS 4    /* lanes over columns, a group of rows streamed, columns divided into parts */

enum { KCL_STEP_LENGTH = KCL_STREAM }; /* streamed elements a step, where KCL_STREAM is not 1 for a while */

#define KCL_RESCAN_TILES 1
#define KCL_RESCAN_STEPS 2

/*
 * What generated text does with a term. KCL_FORM(step, now, rescan), which skeletons define, is one of these hooks;
 * KCL_TAKE may put a condition around it.
 */
#define KCL_STEP(R, t, n, value) KCL_TAKE(KCL_FORM(R##_STEP, R##_STEP_NOW, R##_RESCAN_STEP)(t, n, value))
#define KCL_STEP_PRODUCT(R, t, n, a, b)                                                                                \
    KCL_TAKE(KCL_FORM(R##_STEP_PRODUCT, R##_STEP_NOW_PRODUCT, R##_RESCAN_STEP_PRODUCT)(t, n, a, b))
#define KCL_STEP_WHERE(R, t, n, c, a, b)                                                                               \
    KCL_TAKE(KCL_FORM(R##_STEP_WHERE, R##_STEP_NOW_WHERE, R##_RESCAN_STEP_WHERE)(t, n, c, a, b))
#define KCL_TAKE(step) step

#ifdef KCL_GROUP
#define KCL_GROUP_SIZE __attribute__((reqd_work_group_size(KCL_GROUP, 1, 1)))
#define KCL_ITEM item
#else
#define KCL_GROUP_SIZE
#define KCL_ITEM 0
#endif

/* ---- Batches that are reduced ------------------------------------------------------------------------------------ */

/*
 * With KCL_EACH a state goes through all columns of each batch in turn: the loop stands around what R_ROWS_BEGIN and
 * R_ROWS_END stand around, and begins with the values that are computed once per row. Parts of these batches multiply
 * the parts of columns, of which there are column_parts.
 */
#ifdef KCL_EACH
#define KCL_COLUMN_PART(part) ((part) % column_parts)
#define KCL_EACH_PART(part) ((part) / column_parts)
#define KCL_EACH_BEGIN(each_part)                                                                                      \
    for (long each = (each_part) * each_length, each_end = min(each_count, each + each_length); each < each_end; each++) {
#define KCL_EACH_END }
#define KCL_OF_EACH(count) +each * (count) /* terms of the batches before */
#define KCL_GOES_ON 1                      /* a state outlives its columns */
#define KCL_ALL_PARTS(part) (KCL_WORKER(1) * column_parts + (part))
#else
#define KCL_COLUMN_PART(part) (part)
#define KCL_EACH_BEGIN(each_part)
#define KCL_EACH_END
#define KCL_OF_EACH(count)
#define KCL_GOES_ON 0
#define KCL_ALL_PARTS(part) (part)
#endif

/* ---- Numbers in memory, of any reduction ------------------------------------------------------------------------- */

/*
 * Loops over the components of totals, which are met once a tile. KCL_WIDE: sums have so many components that registers
 * hold the vectors and the sums of a tile, but not the totals. The loops over totals are short text then, the totals
 * lie in private memory, and KCL_PUT_ASIDE copies the sums of a tile there too, for registers have no index.
 */
#ifdef KCL_WIDE
#define FOR_TOTALS(n, from, to) _Pragma("unroll 1") for (int n = (from); n < (to); n++)
#define KCL_PUT_ASIDE(t, count)                                                                                        \
    lanes aside##t[count];                                                                                             \
    FOR_INDEX(n, 0, count)                                                                                             \
        aside##t[n] = acc##t[n];
#define KCL_ASIDE(t) aside##t
#else
#define FOR_TOTALS FOR_INDEX
#define KCL_PUT_ASIDE(t, count)
#define KCL_ASIDE(t) acc##t
#endif

/*
 * Loops over the numbers of states, and over the pieces that states are joined by, one after another. The text that inserts
 * a piece into a list of K values is long, so with lists the pieces are met in a loop that stays a loop. KCL_LONG_LISTS:
 * lists lie in private memory, and loops over their numbers are short text.
 */
#ifdef KCL_LONG_LISTS
#define FOR_NUMBERS(q, count) _Pragma("unroll 4") for (int q = 0; q < (count); q++)
#else
#define FOR_NUMBERS(q, count) FOR_INDEX(q, 0, count)
#endif
#if defined KCL_LONG_LISTS || defined KCL_SHORT_LISTS
#define FOR_PIECES(piece, count) _Pragma("unroll 1") for (int piece = 0; piece < (count); piece++)
#else
#define FOR_PIECES(piece, count) FOR_INDEX(piece, 0, count)
#endif

/* Partial states: number k of part `part` and row `row`, of a term with `count` numbers a row. */
#define KCL_PARTIAL(count, p, part, row, k) partial[(long)(p)*parts * rows + ((part)*rows + (row)) * (count) + (k)]

#define KCL_COUNT(R, t) (R##_NUMBERS * R##_PIECES(t)) /* numbers of a component */

/* One row a lane. */
#define KCL_SAVE_LANES(R, t, d, p)                                                                                     \
    FOR_TOTALS(n, 0, KCL_COUNT(R, t) * (d))                                                                            \
        kcl_scatter(&KCL_PARTIAL(KCL_COUNT(R, t) * (d), p, part, 0, 0), i, rows, KCL_COUNT(R, t) * (d), n, number##t[n]);

/* State `state` is spread over lanes, and belongs to row `row`. */
#define KCL_SAVE_SUM(R, t, d, p)                                                                                       \
    FOR_TOTALS(n, 0, d)                                                                                                \
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

/*
 * number: the parts of rows i, i + 1, ..., joined from first to last. The components of a part are joined before the next
 * part is read: they lie side by side in memory, and their loads are under way together. While parts are joined, the
 * numbers of a component are followed by the element that is the join's own.
 */
#define KCL_MERGE(R, t, d, p)                                                                                          \
    lanes number##t[(KCL_COUNT(R, t) + 1) * (d)];                                                                      \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        FOR_NUMBERS(q, KCL_COUNT(R, t))                                                                                \
            number##t[(KCL_COUNT(R, t) + 1) * n + q] = KCL_PART_(KCL_COUNT(R, t), d, p, 0, n, q);                      \
        number##t[(KCL_COUNT(R, t) + 1) * n + KCL_COUNT(R, t)] = 0;                                                    \
    }                                                                                                                  \
    for (long part = 1; part < parts; part++) {                                                                        \
        FOR_INDEX(n, 0, d)                                                                                             \
        {                                                                                                              \
            FOR_INDEX(piece, 0, R##_PIECES(t))                                                                         \
            {                                                                                                          \
                lanes b[R##_NUMBERS];                                                                                  \
                FOR_INDEX(q, 0, R##_NUMBERS)                                                                           \
                    b[q] = KCL_PART_(KCL_COUNT(R, t), d, p, part, n, R##_NUMBERS * piece + q);                         \
                R##_JOIN(t, number##t + (KCL_COUNT(R, t) + 1) * n, b)                                                  \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    FOR_INDEX(n, 0, d)                                                                                                 \
    {                                                                                                                  \
        R##_JOINED(number##t + (KCL_COUNT(R, t) + 1) * n)                                                              \
        FOR_NUMBERS(q, KCL_COUNT(R, t))                                                                                \
            number##t[KCL_COUNT(R, t) * n + q] = number##t[(KCL_COUNT(R, t) + 1) * n + q];                             \
    }

/* ---- Work-groups ------------------------------------------------------------------------------------------------- */

#ifdef KCL_GROUP

/*
 * The closed states of KCL_JOIN_WIDTH work-items become one, the state of the first work-item: the upper half puts its
 * numbers into local memory, piece by piece, the lower half joins them with its own, and so on. KCL_JOIN_MEMBER is the
 * work-item's number among them, KCL_JOIN_SET the number of its set; `joined` is the memory; KCL_NUMBERS is the largest
 * R_NUMBERS of the program. Where lists are in registers, which have no index, the piece in front is sent, and the others
 * move up.
 */
#define KCL_HALF ((KCL_GROUP + 1) / 2)
#define KCL_JOINED (KCL_NUMBERS * KCL_HALF)
#ifdef KCL_SHORT_LISTS
#define KCL_SENT(R, piece, q) (q)
#define KCL_MOVE_UP(R, t)                                                                                              \
    FOR_INDEX(q, 0, R##_NUMBERS *(R##_PIECES(t) - 1))                                                                  \
        a[q] = a[R##_NUMBERS + q];
#else
#define KCL_SENT(R, piece, q) (R##_NUMBERS * (piece) + (q))
#define KCL_MOVE_UP(R, t)
#endif
/*
 * A piece is read before the next piece is sent. The loop over the pieces of a list ends with the barrier: PoCL does not
 * compile loops that branches of the insertion lead out of.
 */
#if defined KCL_LONG_LISTS || defined KCL_SHORT_LISTS
#define KCL_BEFORE_PIECE
#define KCL_AFTER_PIECE barrier(CLK_LOCAL_MEM_FENCE);
#else
#define KCL_BEFORE_PIECE barrier(CLK_LOCAL_MEM_FENCE);
#define KCL_AFTER_PIECE
#endif
#define KCL_JOIN_STATES(R, t, d, p)                                                                                    \
    FOR_TOTALS(n, 0, KCL_STATES *(d))                                                                                  \
    {                                                                                                                  \
        const int member = KCL_JOIN_MEMBER, place = (KCL_JOIN_SET) * (KCL_JOIN_WIDTH / 2) + member;                    \
        _Pragma("unroll 1") for (int step = KCL_JOIN_WIDTH / 2; step > 0; step /= 2) {                                 \
            lanes a[KCL_COUNT(R, t) + 1], b[R##_NUMBERS];                                                              \
            a[KCL_COUNT(R, t)] = 0;                                                                                    \
            FOR_NUMBERS(q, KCL_COUNT(R, t))                                                                            \
                a[q] = number##t[KCL_COUNT(R, t) * n + q];                                                             \
            FOR_PIECES(piece, R##_PIECES(t))                                                                           \
            {                                                                                                          \
                KCL_BEFORE_PIECE                                                                                       \
                if (member >= step && member < 2 * step) {                                                             \
                    FOR_INDEX(q, 0, R##_NUMBERS)                                                                       \
                        joined[q * KCL_HALF + place - step] = a[KCL_SENT(R, piece, q)];                                \
                    KCL_MOVE_UP(R, t)                                                                                  \
                }                                                                                                      \
                barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
                if (member < step) {                                                                                   \
                    FOR_INDEX(q, 0, R##_NUMBERS)                                                                       \
                        b[q] = joined[q * KCL_HALF + place];                                                           \
                    R##_JOIN(t, a, b)                                                                                  \
                }                                                                                                      \
                KCL_AFTER_PIECE                                                                                        \
            }                                                                                                          \
            if (member < step) {                                                                                       \
                R##_JOINED(a)                                                                                          \
                FOR_NUMBERS(q, KCL_COUNT(R, t))                                                                        \
                    number##t[KCL_COUNT(R, t) * n + q] = a[q];                                                         \
            }                                                                                                          \
        }                                                                                                              \
    }

#endif
