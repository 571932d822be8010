/* SPDX-License-Identifier: MIT */
/*
 * render/hooks.c: the reductions of a program, from the rows of their table: what each reduction brings, and the
 * macros by which skeletons call the hooks of all terms. cl/reduce.cl tells what hooks do.
 */
#include "hooks.h"
#include "reductions.h"

#include <string.h>

enum kind { ALL, TILES, STEPS, PARTS, STEPPING, JOINING };

static const struct hook {
    const char *name;
    enum kind kind;
} hooks[KR_HOOK_COUNT] = {
#define KR_HOOK(hook, kind) {#hook, kind},
    KR_HOOKS(KR_HOOK)
#undef KR_HOOK
};

static unsigned all_hooks(const kp_plan *plan)
{
    unsigned all = 0;
    for (size_t k = 0; k < plan->term_count; k++)
        all |= kp_reduction(plan, k)->hooks;
    return all;
}

/* Nothing is put off: STEP_NOW takes the place of STEP. */
static bool steps_now(const kp_plan *plan)
{
    return plan->shape == KP_COLUMNS || plan->schedule == KP_BY_CONTRACTION;
}

static bool is_repeated(const kp_plan *plan, size_t term)
{
    for (size_t k = 0; k < term; k++)
        if (kp_reduction(plan, k) == kp_reduction(plan, term))
            return true;
    return false;
}

/* ---- What each reduction brings ---------------------------------------------------------------------------------- */

/* The forms of a step that the file does not define: of a product, without hooks around it, in rescans for other terms. */
static void put_steps(kb_str *out, const kr_reduction *r, bool now, bool rescans)
{
    static const char product[] = "#define %s_%s_PRODUCT(t, n, a, b) %s_%s(t, n, (lanes)(a) * (lanes)(b))\n";
    const char *name = r->name;
    if (!(r->hooks & KR_STEP_PRODUCT))
        kb_str_putf(out, product, name, "STEP", name, "STEP");
    if (now && !(r->hooks & KR_STEP_NOW))
        kb_str_putf(out, "#define %s_STEP_NOW %s_STEP\n#define %s_STEP_NOW_PRODUCT %s_STEP_PRODUCT\n", name, name, name,
                    name);
    else if (now && !(r->hooks & KR_STEP_NOW_PRODUCT))
        kb_str_putf(out, product, name, "STEP_NOW", name, "STEP_NOW");
    if (now && r->hooks & KR_STEP_WHERE)
        kb_str_putf(out, "#define %s_STEP_NOW_WHERE %s_STEP_WHERE\n", name, name);
    if (rescans && r->hooks & KR_RESCAN_STEP)
        kb_str_putf(out, product, name, "RESCAN_STEP", name, "RESCAN_STEP");
    else if (rescans)
        kb_str_putf(out, "#define %s_RESCAN_STEP(t, n, value)\n#define %s_RESCAN_STEP_PRODUCT(t, n, a, b)\n", name,
                    name);
    if (rescans && r->hooks & KR_STEP_WHERE)
        kb_str_putf(out, "#define %s_RESCAN_STEP_WHERE(t, n, c, a, b)\n", name);
}

/* ---- Declarations ------------------------------------------------------------------------------------------------ */

static void put_length(kb_str *out, const kr_array *array, size_t term)
{
    const char *times = "";
    if (array->length == 1 && !(array->of & (KR_PER_STATE | KR_PER_COMPONENT | KR_PER_VALUE | KR_PER_COLUMN)))
        return;
    kb_str_put(out, "[");
    if (array->length != 1) {
        kb_str_putf(out, "%d", array->length);
        times = " * ";
    }
    if (array->of & KR_PER_VALUE) {
        kb_str_putf(out, "%sKCL_K%zu", times, term);
        times = " * ";
    }
    if (array->of & KR_PER_STATE) {
        kb_str_putf(out, "%sKCL_STATES", times);
        times = " * ";
    }
    if (array->of & KR_PER_COLUMN) {
        kb_str_putf(out, "%sKCL_STEP_LENGTH", times);
        times = " * ";
    }
    if (array->of & KR_PER_COMPONENT)
        kb_str_putf(out, "%sKCL_D%zu", times, term);
    kb_str_put(out, "]");
}

/* The arrays of a running state; if `finish`, only the arrays for another look by `finish`. */
static void put_arrays(kb_str *out, const kp_plan *plan, size_t term, bool finish)
{
    static const char *const elements[] = {[KR_LANES] = "lanes", [KR_ILANES] = "ilanes", [KR_BOOL] = "bool"};
    const kr_array *before = NULL;
    for (const kr_array *a = kp_reduction(plan, term)->arrays; a->name; a++) {
        if (!kp_has_array(plan, a) || (finish && !(a->of & KR_FINISH)))
            continue;
        if (before && before->element == a->element)
            kb_str_put(out, ", ");
        else
            kb_str_putf(out, "%s \\\n    %s ", before ? ";" : "", elements[a->element]);
        kb_str_putf(out, "%s%zu", a->name, term);
        put_length(out, a, term);
        before = a;
    }
    kb_str_put(out, before ? ";" : "");
}

/* Results of a term: as lanes; where there are numbers of terms, these as lanes, and exactly. */
static void put_results(kb_str *out, const kp_plan *plan, size_t term, const char *line)
{
    const kr_term *t = &plan->terms[term];
    const long long count = kf_reduction_dim(t->reduction, t->formula->dim, t->param);
    if (kf_reduction_get(t->reduction)->kind == KF_INT)
        kb_str_putf(out, "%s long index%zu[%lld][KCL_LANES]; lanes result%zu[%lld], order%zu[%lld];", line, term, count,
                    term, count, term, count);
    else
        kb_str_putf(out, "%s lanes result%zu[%lld];", line, term, count);
}

/* ---- Hooks of all terms ------------------------------------------------------------------------------------------ */

static void put_hook(kb_str *out, const kp_plan *plan, int hook)
{
    const bool condition = 1u << hook == KR_LOOKS || 1u << hook == KR_TILE_FAILS;
    const char *line = plan->term_count > 1 ? " \\\n   " : "";
    int64_t before = 0;
    kb_str_putf(out, "#define KCL_%s", hooks[hook].name);
    for (size_t k = 0; k < plan->term_count; k++) {
        const kr_reduction *r = kp_reduction(plan, k);
        if (1u << hook == KR_RESULT)
            put_results(out, plan, k, line);
        if (r->hooks & 1u << hook)
            kb_str_putf(out, "%s %s%s_%s(%zu, %d, %lld)", line, condition ? "| " : "", r->name, hooks[hook].name, k,
                        plan->terms[k].formula->dim, (long long)before);
        before += kp_state_dim(plan, k);
    }
    kb_str_put(out, "\n");
}

void kt_put_reductions(kb_str *out, const kp_plan *plan)
{
    const unsigned all = all_hooks(plan);
    const bool now = steps_now(plan);
    const bool tiles = all & KR_TILE_FAILS, steps = all & KR_FIND_NEXT;
    const bool has[] = {[ALL] = true, [TILES] = tiles, [STEPS] = steps, [PARTS] = plan->deferred};
    kb_str_putf(out, "#define KCL_RESCANS %d\n", (tiles ? 1 : 0) + (steps ? 2 : 0)); /* KCL_RESCAN_TILES, _STEPS */
    for (size_t k = 0; k < plan->term_count; k++) {
        const kr_reduction *r = kp_reduction(plan, k);
        kb_str_putf(out, "#define KCL_D%zu %d\n", k, plan->terms[k].formula->dim);
        if (is_repeated(plan, k))
            continue;
        kb_str_putf(out, "#define %s_NUMBERS %d\n#define %s_PIECES(t) %s\n", r->name, r->numbers, r->name,
                    r->lists ? "KCL_K##t" : "1");
        put_steps(out, r, now, tiles || steps);
        if (!(r->hooks & KR_JOINED))
            kb_str_putf(out, "#define %s_JOINED(a)\n", r->name);
    }
    kb_str_put(out, "#define KCL_DECLARE");
    for (size_t k = 0; k < plan->term_count; k++)
        put_arrays(out, plan, k, false);
    kb_str_put(out, plan->deferred ? "\n#define KCL_FIND_STATE" : "");
    for (size_t k = 0; plan->deferred && k < plan->term_count; k++)
        put_arrays(out, plan, k, true);
    kb_str_put(out, "\n");
    for (int hook = 0; hook < KR_HOOK_COUNT; hook++)
        if (hooks[hook].kind <= PARTS && has[hooks[hook].kind])
            put_hook(out, plan, hook);
}

void kt_put_step_names(kb_str *out, const kp_plan *plan)
{
    static const char *const of[] = {"", "_PRODUCT", "_WHERE"};
    const bool rescans = all_hooks(plan) & (KR_TILE_FAILS | KR_FIND_NEXT);
    for (size_t k = 0; k < plan->term_count; k++)
        for (size_t n = 0; n < KB_COUNT(of); n++) {
            const char *name = kp_reduction(plan, k)->name;
            kb_str_putf(out, "%s_%s%s ", name, steps_now(plan) ? "STEP_NOW" : "STEP", of[n]);
            if (rescans)
                kb_str_putf(out, "%s_RESCAN_STEP%s ", name, of[n]);
        }
}
