/* SPDX-License-Identifier: MIT */
/* cl/reduce/meankmin.cl: MeanKMin; follows sum.cl and kmin.cl. The state is the list of KMin. */

#define MEANKMIN_INIT KMIN_INIT
#define MEANKMIN_TILE_BEGIN KMIN_TILE_BEGIN
#define MEANKMIN_BLOCK_BEGIN KMIN_BLOCK_BEGIN
#define MEANKMIN_BLOCK_END KMIN_BLOCK_END
#define MEANKMIN_STEP KMIN_STEP
#define MEANKMIN_STEP_NOW KMIN_STEP_NOW
#define MEANKMIN_LOOK_END KMIN_LOOK_END
#define MEANKMIN_JOIN KMIN_JOIN

#define MEANKMIN_RESULT(t, d, p)                                                                                       \
    FOR_INDEX(n, 0, d)                                                                                                 \
        result##t[n] = kcl_mean_of_list(&number##t[KCL_K##t * n], KCL_K##t);

/* A list that is not full ends with infinities, and so its mean is infinity. */
KCL_FN lanes kcl_mean_of_list(const lanes *list, int count)
{
    lanes total = list[0], rest = (lanes)(KCL_R(0.0));
    FOR_LIST(q, count - 1)
        kcl_two_sum(&total, &rest, list[q]);
    return kcl_total(total, rest) * (lanes)(KCL_R(1.0) / (real)count);
}
