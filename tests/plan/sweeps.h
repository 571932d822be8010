/* SPDX-License-Identifier: MIT */
/* tests/plan/sweeps.h: sweeps from text, capabilities by hand and random formulas, for tests of plans and renderers. */
#ifndef TEST_SWEEPS_H
#define TEST_SWEEPS_H

#include "make.h"
#include "plan.h"
#include "reductions.h"
#include "text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8, BOTH_AXES = KF_AXIS_I | KF_AXIS_J };

typedef struct sweep_of {
    kf_graph g;
    kr_sweep sweep;
    kr_var vars[MOST];
    kr_term terms[MOST];
    const kf_node *outputs[MOST];
    kf_binding names[3 * MOST];
    size_t name_count;
    char name[3 * MOST][4];
    uint8_t outer[MOST], each[MOST]; /* by variable: batch axes, as bits */
} sweep_of;

static inline void add_name(sweep_of *s, const char *name, size_t length, const kf_node *value)
{
    snprintf(s->name[s->name_count], sizeof s->name[0], "%.*s", (int)length, name);
    s->names[s->name_count] = (kf_binding){s->name[s->name_count], value};
    s->name_count++;
}

/*
 * Adds the variables of a text, "x:i3 y:j3 g:p1", as numbers 0, 1, .... Batch axes follow the dimension, "x:i3abE":
 * small letters are axes with results of their own, E, F, ... are reduced axes.
 */
static inline void add_variables(sweep_of *s, const char *text)
{
    while (*text) {
        const char *colon = strchr(text, ':');
        kf_role role = colon[1] == 'i' ? KF_ROLE_I : colon[1] == 'j' ? KF_ROLE_J : KF_ROLE_P;
        char *end;
        int32_t dim = (int32_t)strtol(colon + 2, &end, 10);
        size_t at = s->sweep.var_count++;
        s->vars[at] = (kr_var){role, dim};
        for (; *end && *end != ' '; end++) {
            if (*end >= 'a')
                s->outer[at] |= (uint8_t)(1u << (*end - 'a'));
            else
                s->each[at] |= (uint8_t)(1u << (*end - 'E'));
        }
        add_name(s, text, (size_t)(colon - text),
                 kf_on_batches(&s->g, kf_var(&s->g, (int64_t)at, dim, role), s->each[at] ? KF_AXIS_EACH : 0));
        text = *end == ' ' ? end + 1 : end;
    }
}

/* Reads formulas separated by ";". Returns the number of formulas. */
static inline size_t read_formulas(sweep_of *s, const char *text, const kf_node **out)
{
    size_t count = 0;
    while (*text) {
        size_t length = strcspn(text, ";");
        char *one = calloc(length + 1, 1);
        memcpy(one, text, length);
        int64_t next = MOST;
        kb_error err;
        kb_error_clear(&err);
        ck_assert_msg(kf_parse_formula(&s->g, one, s->name_count, s->names, &next, &out[count], &err) == KCL_OK, "%s",
                      err.text);
        free(one);
        count++;
        text += length + (text[length] == ';');
    }
    return count;
}

/* Reads reductions and their K, "KMin3:x*y;u", the sum if none is named. Leaves the formulas. */
static inline void read_reductions(sweep_of *s, char *terms)
{
    char *to = terms;
    for (size_t k = 0; *terms; k++) {
        s->terms[k].reduction = KF_REDUCE_SUM;
        for (int r = 0; r < KF_REDUCTION_COUNT; r++) {
            const char *name = kf_reduction_get((kf_reduction)r)->name;
            char *end = terms + strlen(name);
            if (strncmp(terms, name, strlen(name)) != 0)
                continue;
            int64_t param = strtoll(end, &end, 10);
            if (*end == ':') {
                s->terms[k].reduction = (kf_reduction)r;
                s->terms[k].param = param;
                terms = end + 1;
            }
        }
        size_t length = strcspn(terms, ";");
        length += terms[length] == ';';
        memmove(to, terms, length);
        to += length;
        terms += length;
    }
    *to = 0;
}

/*
 * Fills a sweep with reductions of `terms`. The outputs call the results r0, r1, ..., and n0, n1, ... if the results
 * are numbers of terms. s->g is a graph, which may hold other nodes.
 */
static inline void sweep_fill(sweep_of *s, unsigned reduced, const char *variables, const char *terms,
                              const char *outputs)
{
    const kf_node *formulas[MOST];
    char *text = malloc(strlen(terms) + 1), name[8];
    strcpy(text, terms);
    read_reductions(s, text);
    add_variables(s, variables);
    s->sweep.term_count = read_formulas(s, text, formulas);
    free(text);
    for (size_t k = 0; k < s->sweep.term_count; k++) {
        const kf_reduction_info *info = kf_reduction_get(s->terms[k].reduction);
        const int64_t dim = kf_reduction_dim(s->terms[k].reduction, formulas[k]->dim, s->terms[k].param);
        s->terms[k].formula = formulas[k];
        add_name(s, name, (size_t)snprintf(name, sizeof name, "r%d", (int)k), kf_acc(&s->g, (int64_t)k, dim, KF_REAL));
        if (info->kind == KF_INT)
            add_name(s, name, (size_t)snprintf(name, sizeof name, "n%d", (int)k),
                     kf_acc(&s->g, (int64_t)k, dim, KF_INT));
    }
    s->sweep.output_count = read_formulas(s, outputs, s->outputs);
    s->sweep.graph = &s->g;
    s->sweep.reduced = reduced;
    s->sweep.vars = s->vars;
    s->sweep.terms = s->terms;
    s->sweep.outputs = s->outputs;
}

/* Returns the batch axes of the variables, for plans. `axes` has room for MOST variables. */
static inline kp_batches batches_of(const sweep_of *s, uint8_t *axes)
{
    kp_batches b = {.axes = axes};
    for (size_t k = 0; k < s->sweep.var_count; k++) {
        while (s->outer[k] >> b.outer)
            b.outer++;
        while (s->each[k] >> b.each)
            b.each++;
    }
    for (size_t k = 0; k < s->sweep.var_count; k++)
        axes[k] = (uint8_t)(s->outer[k] | s->each[k] << b.outer);
    return b;
}

static inline void sweep_init(sweep_of *s, const kcl_allocator *a, unsigned reduced, const char *variables,
                              const char *terms, const char *outputs)
{
    memset(s, 0, sizeof *s);
    ck_assert_int_eq(kf_graph_init(&s->g, a), KCL_OK);
    sweep_fill(s, reduced, variables, terms, outputs);
}

static inline void sweep_finish(sweep_of *s)
{
    kf_graph_finish(&s->g);
}

/* Returns a CPU, as one would order it. */
static inline kp_caps cpu_caps(int lanes, int registers)
{
    return (kp_caps){.device_class = KP_CPU,
                     .lanes_f32 = lanes,
                     .lanes_f64 = lanes / 2,
                     .vector_registers = registers,
                     .compute_units = 8,
                     .max_work_group = 4096,
                     .local_memory = 256 << 10,
                     .private_memory = 1 << 20,
                     .max_groups = 65535,
                     .has_f64 = true};
}

/* Returns a GPU like the profile, with small work-groups and local memory. */
static inline kp_caps gpu_caps(int work_group, size_t local_memory)
{
    kp_caps caps = *kp_caps_profile("gpu");
    caps.max_work_group = work_group;
    caps.local_memory = local_memory;
    return caps;
}

/* Returns the bytes of local memory that the sweep of a plan declares. */
static inline size_t local_memory_of(const kp_plan *plan)
{
    size_t size = kb_dtype_size(plan->dtype), numbers = 0;
    size_t joined = (size_t)kp_numbers(plan) * (size_t)((plan->group + 1) / 2) * (size_t)plan->lanes;
    if (plan->schedule == KP_BY_ROWS && plan->shape != KP_COLUMNS && plan->shape != KP_MAP)
        numbers = (size_t)plan->tile * (size_t)plan->record;
    if (plan->schedule == KP_BY_CONTRACTION) {
        size_t side = (size_t)(plan->tile / plan->stream), chunk = 2 * (size_t)plan->chunk;
        numbers = chunk * (size_t)plan->row_operands * (side * (size_t)plan->lanes + 4) +
                  chunk * (size_t)plan->column_operands * (side * (size_t)plan->stream + 4);
    }
    bool joins = plan->schedule == KP_BY_CONTRACTION || (plan->schedule == KP_BY_ROWS && plan->shape == KP_COLUMNS) ||
                 (plan->schedule == KP_BY_ROWS && plan->shape == KP_ROWS_BOTH);
    return size * (numbers + (joins ? joined : 0));
}

static inline kp_plan *plan_of(const kr_sweep *sweep, const kp_caps *caps, kcl_dtype dtype, kp_shape shape)
{
    kp_plan *plan;
    kb_error err;
    kb_error_clear(&err);
    const kp_choice choice = {.schedule = caps->device_class == KP_CPU ? KP_BY_LANES : KP_BY_ROWS, .shape = shape};
    ck_assert_msg(kp_plan_create(&plan, &(kp_request){sweep, dtype, caps, choice, NULL, {0}}, &err) == KCL_OK, "%s",
                  err.text);
    return plan;
}

/* ---- Random formulas --------------------------------------------------------------------------------------------- */

static inline unsigned draw(uint64_t *seed, unsigned below)
{
    *seed = kb_hash_combine(*seed, 0x9e37);
    return (unsigned)((*seed >> 20) % below);
}

#define RANDOM_VARIABLES "x:i3 y:j3 u:i1 b:j1 g:p1 p:p3"

/* Returns a bounded formula of both axes in RANDOM_VARIABLES, with Concat and ExtractT if `copies`. */
static inline const kf_node *random_formula(sweep_of *s, uint64_t *seed, bool copies)
{
    enum { SIZE = 40, LARGEST = 8 };
    static const kf_op maps[] = {KF_SIN, KF_COS, KF_ABS, KF_MINUS, KF_SQUARE};
    static const kf_op infix[] = {KF_ADD, KF_SUB, KF_MULT, KF_MULT};
    kf_graph *g = &s->g;
    const kf_node *pool[SIZE + 16], *last = NULL;
    unsigned count = 0, steps = 6 + draw(seed, SIZE - 6);
    for (unsigned k = 0; k < 6; k++)
        pool[count++] = s->names[k].value;
    pool[count++] = kf_rat(g, 3, 7);
    pool[count++] = kf_num(g, -0.3);
    for (unsigned n = 0; n < steps || !last; n++) {
        const kf_node *a = pool[draw(seed, count)], *b = pool[draw(seed, count)], *f = a;
        bool fits = a->dim == b->dim || a->dim == 1 || b->dim == 1;
        switch (draw(seed, 11)) {
        case 0:
        case 1:
        case 2:
            f = fits ? kf_binary(g, infix[draw(seed, KB_COUNT(infix))], a, b) : a;
            break;
        case 3:
            f = kf_unary(g, maps[draw(seed, KB_COUNT(maps))], a);
            break;
        case 4: /* exp, of products too */
            f = kf_unary(g, KF_EXP,
                         kf_unary(g, KF_MINUS,
                                  fits ? kf_binary(g, KF_MULT, kf_unary(g, KF_SQUARE, a), kf_unary(g, KF_ABS, b)) : a));
            break;
        case 5:
            f = kf_unary(g, KF_SUM, a);
            break;
        case 6:
            f = kf_make(g, KF_ELEM, &a, (int64_t[]){draw(seed, (unsigned)a->dim)});
            break;
        case 7:
            if (fits)
                f = kf_binary(g, KF_DIVIDE, a, kf_binary(g, KF_ADD, kf_rat(g, 1, 1), kf_unary(g, KF_SQUARE, b)));
            break;
        case 8:
            if (copies && a->dim + b->dim <= LARGEST)
                f = kf_binary(g, KF_CONCAT, a, b);
            break;
        case 9:
            if (copies && a->dim < LARGEST)
                f = kf_make(g, KF_EXTRACTT, &a, (int64_t[]){draw(seed, 2), a->dim + 1});
            break;
        default:
            f = kf_unary(g, KF_SQRT, kf_binary(g, KF_ADD, kf_rat(g, 1, 2), kf_unary(g, KF_SQUARE, a)));
            break;
        }
        /* Bounded, so that rounding errors stay small. */
        f = f == a ? a : kf_unary(g, KF_SIN, f);
        ck_assert_msg(f != NULL, "%s", g->error.text);
        if (count < KB_COUNT(pool))
            pool[count++] = f;
        else
            pool[8 + draw(seed, count - 8)] = f;
        if (f->axes == BOTH_AXES)
            last = f;
    }
    return last;
}

#endif
