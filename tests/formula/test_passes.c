/* SPDX-License-Identifier: MIT */
/* Passes over graphs: order, rewriting, substitution, import; passes over deep formulas. */
#include "derive.h"
#include "graph_support.h"
#include "passes.h"
#include "simplify.h"

/* ---- Order ------------------------------------------------------------------------------------------------------- */

static void check_order(const kf_order *order)
{
    for (size_t k = 0; k < order->count; k++) {
        ck_assert_uint_eq(kf_at(order, order->nodes[k]), k);
        for (size_t other = 0; other < k; other++)
            ck_assert_ptr_ne(order->nodes[k], order->nodes[other]);
    }
}

START_TEST(order_lists_operands_before_users_once)
{
    const kf_node *d = kf_binary(&g, KF_SUB, x, y), *e = kf_unary(&g, KF_EXP, kf_dot(&g, d, d));
    const kf_node *unused = kf_unary(&g, KF_SIN, d), *roots[] = {kf_binary(&g, KF_MULT, e, d), d, e, e};
    kf_order order;
    ck_assert_int_eq(kf_order_init(&order, &g, KB_COUNT(roots), roots, false, &g.error), KCL_OK);
    check_order(&order);
    ck_assert_uint_eq(order.count, 7); /* x y d d*d Sum Exp Mult */
    for (size_t k = 0; k < order.count; k++)
        for (int c = 0; c < order.nodes[k]->arg_count; c++)
            ck_assert_uint_lt(kf_at(&order, order.nodes[k]->arg[c]), k);
    ck_assert(!kf_reached(&order, unused) && !kf_reached(&order, s));
    kf_order_finish(&order);
    ck_assert_int_eq(kf_order_init(&order, &g, 0, NULL, false, &g.error), KCL_OK);
    ck_assert_uint_eq(order.count, 0);
    kf_order_finish(&order);
}
END_TEST

/* Of every node of a large graph, and of some, wherever they are in it. */
START_TEST(order_finds_nodes_far_apart)
{
    enum { COUNT = 50000 };
    static const int steps[] = {1, 2, 63, 64, 65, 1000, 4096, COUNT};
    static const kf_node *nodes[COUNT], *some[COUNT];
    for (int k = 0; k < COUNT; k++)
        nodes[k] = kf_var(&g, k + 10, 1, KF_ROLE_I);
    for (size_t n = 0; n < KB_COUNT(steps); n++) {
        kf_order order;
        size_t count = 0;
        for (int k = 0; k < COUNT; k += steps[n])
            some[count++] = nodes[COUNT - 1 - k];
        ck_assert_int_eq(kf_order_init(&order, &g, count, some, false, &g.error), KCL_OK);
        ck_assert_uint_eq(order.count, count);
        for (int k = 0; k < COUNT; k++) {
            const bool asked = (COUNT - 1 - k) % steps[n] == 0;
            if (kf_reached(&order, nodes[k]) != asked || (asked && order.nodes[kf_at(&order, nodes[k])] != nodes[k]))
                ck_abort_msg("node %d, steps of %d", k, steps[n]);
        }
        kf_order_finish(&order);
    }
}
END_TEST

START_TEST(order_depends_on_the_structure_alone)
{
    kf_graph other;
    kf_graph_init(&other, NULL);
    const kf_node *v = kf_var(&other, 1, 3, KF_ROLE_J), *u = kf_var(&other, 0, 3, KF_ROLE_I);
    const kf_node *c = kf_unary(&other, KF_COS, v), *b = kf_unary(&other, KF_SIN, u);
    const kf_node *f = kf_binary(&g, KF_ADD, kf_unary(&g, KF_SIN, x), kf_unary(&g, KF_COS, y));
    const kf_node *h = kf_binary(&other, KF_ADD, b, c);
    kf_order one, two;
    kf_order_init(&one, &g, 1, &f, false, &g.error);
    kf_order_init(&two, &other, 1, &h, false, &other.error);
    ck_assert_uint_eq(one.count, two.count);
    for (size_t k = 0; k < one.count; k++)
        ck_assert_uint_eq(one.nodes[k]->hash, two.nodes[k]->hash);
    kf_order_finish(&one);
    kf_order_finish(&two);
    kf_graph_finish(&other);
}
END_TEST

START_TEST(order_stops_at_reductions_that_are_no_roots)
{
    const kf_node *inner = kf_binary(&g, KF_MULT, x, y), *r = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, inner);
    const kf_node *f = kf_binary(&g, KF_ADD, x, r);
    kf_order order;
    kf_order_init(&order, &g, 1, &f, true, &g.error);
    ck_assert_uint_eq(order.count, 3);
    ck_assert(kf_reached(&order, r) && !kf_reached(&order, inner));
    kf_order_finish(&order);
    kf_order_init(&order, &g, 1, &f, false, &g.error);
    ck_assert_uint_eq(order.count, 5);
    kf_order_finish(&order);
    /* A root is followed wherever it stands among the roots, also if another root leads to it. */
    const kf_node *roots[][2] = {{r, f}, {f, r}};
    for (int k = 0; k < 2; k++) {
        kf_order_init(&order, &g, 2, roots[k], true, &g.error);
        check_order(&order);
        ck_assert_msg(kf_reached(&order, inner) && kf_reached(&order, y), "roots in order %d", k);
        ck_assert_uint_lt(kf_at(&order, inner), kf_at(&order, r));
        ck_assert_uint_lt(kf_at(&order, r), kf_at(&order, f));
        ck_assert_uint_eq(order.count, 5);
        kf_order_finish(&order);
    }
    /* A reduction above a reduction, both roots. */
    const kf_node *outer = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I, 0, f), *nested[] = {outer, r};
    kf_order_init(&order, &g, 2, nested, true, &g.error);
    ck_assert(kf_reached(&order, inner) && kf_reached(&order, outer));
    ck_assert_uint_lt(kf_at(&order, inner), kf_at(&order, r));
    kf_order_finish(&order);
}
END_TEST

/* ---- Rewriting --------------------------------------------------------------------------------------------------- */

typedef struct visits {
    const kf_node *refused; /* the rewriter fails there */
    int count;
} visits;

/* Cosines for sines. */
static const kf_node *cosine_for_sine(void *user, kf_graph *graph, const kf_node *f, const kf_node *const *args)
{
    visits *v = user;
    v->count++;
    for (int c = f->arg_count; c < KF_MAX_ARGS; c++)
        ck_assert_ptr_null(args[c]);
    if (f == v->refused)
        return kf_refuse(graph, KCL_ERROR_ARGUMENT, "refused");
    if (f->op == KF_SIN)
        return kf_unary(graph, KF_COS, args[0]);
    return f->op == KF_REDUCE && kf_keeps_operands(f, args) ? f : kf_rebuild(graph, f, args);
}

START_TEST(rewriting_visits_every_node_once)
{
    const kf_node *a = kf_unary(&g, KF_SIN, x), *b = kf_unary(&g, KF_COS, x), *out[2];
    const kf_node *roots[] = {kf_binary(&g, KF_MULT, kf_unary(&g, KF_SIN, a), kf_binary(&g, KF_ADD, a, y)), a};
    visits v = {NULL, 0};
    ck_assert_int_eq(kf_rewrite(&g, &g, 2, roots, false, cosine_for_sine, &v, out), KCL_OK);
    ck_assert_ptr_eq(out[0], kf_binary(&g, KF_MULT, kf_unary(&g, KF_COS, b), kf_binary(&g, KF_ADD, b, y)));
    ck_assert_ptr_eq(out[1], b);
    ck_assert_int_eq(v.count, 6); /* x y a Sin(a) a+y and their product */
    /* Roots in place. After a failure they are as they were, and the graph has the error. */
    const kf_node *before = roots[0];
    v.refused = y;
    ck_assert_int_eq(kf_rewrite(&g, &g, 2, roots, false, cosine_for_sine, &v, roots), KCL_ERROR_ARGUMENT);
    ck_assert(roots[0] == before && roots[1] == a);
    kf_clear_error(&g);
    v.refused = NULL;
    ck_assert_int_eq(kf_rewrite(&g, &g, 2, roots, false, cosine_for_sine, &v, roots), KCL_OK);
    ck_assert(roots[0] == out[0] && roots[1] == b);
}
END_TEST

START_TEST(rewriting_stops_at_reductions_where_asked)
{
    const kf_node *inner = kf_binary(&g, KF_MULT, kf_unary(&g, KF_SIN, x), y), *out;
    const kf_node *r = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, inner),
                  *f = kf_binary(&g, KF_ADD, kf_unary(&g, KF_SIN, x), r);
    ck_assert_int_eq(kf_rewrite(&g, &g, 1, &f, true, cosine_for_sine, &(visits){NULL, 0}, &out), KCL_OK);
    ck_assert_ptr_eq(out, kf_binary(&g, KF_ADD, kf_unary(&g, KF_COS, x), r));
    ck_assert_int_eq(kf_rewrite(&g, &g, 1, &f, false, cosine_for_sine, &(visits){NULL, 0}, &out), KCL_OK);
    const kf_node *below = kf_binary(&g, KF_MULT, kf_unary(&g, KF_COS, x), y);
    ck_assert_ptr_eq(out,
                     kf_binary(&g, KF_ADD, kf_unary(&g, KF_COS, x), kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, below)));
}
END_TEST

/* ---- Substitution and import ------------------------------------------------------------------------------------- */

typedef struct exchange {
    const kf_node *from, *to;
    int asked;
} exchange;

static const kf_node *exchanged(void *user, const kf_node *leaf)
{
    exchange *e = user;
    ck_assert(leaf->op == KF_VAR || leaf->op == KF_REDUCE);
    e->asked++;
    return leaf == e->from ? e->to : leaf;
}

START_TEST(substitution_replaces_leaves)
{
    const kf_node *z = kf_var(&g, 9, 3, KF_ROLE_P), *a = kf_unary(&g, KF_SIN, x);
    const kf_node *roots[] = {kf_binary(&g, KF_MULT, a, kf_binary(&g, KF_ADD, x, y)), a, y}, *out[3];
    exchange e = {x, z, 0};
    ck_assert_int_eq(kf_substitute(&g, 3, roots, false, exchanged, &e, out), KCL_OK);
    ck_assert_ptr_eq(out[0], kf_binary(&g, KF_MULT, kf_unary(&g, KF_SIN, z), kf_binary(&g, KF_ADD, z, y)));
    ck_assert_ptr_eq(out[1], kf_unary(&g, KF_SIN, z));
    ck_assert_ptr_eq(out[2], y);
    ck_assert_int_eq(e.asked, 2); /* once a leaf */
    /* out may be the roots */
    ck_assert_int_eq(kf_substitute(&g, 3, roots, false, exchanged, &(exchange){z, x, 0}, roots), KCL_OK);
    ck_assert_ptr_eq(roots[1], a);
    /* Nothing changes: the same nodes. */
    const kf_node *same;
    ck_assert_int_eq(kf_substitute(&g, 1, out, false, exchanged, &(exchange){x, s, 0}, &same), KCL_OK);
    ck_assert_ptr_eq(same, out[0]);
}
END_TEST

START_TEST(substitution_of_reductions_and_inside_them)
{
    const kf_node *r = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, kf_binary(&g, KF_MULT, x, y));
    const kf_node *f = kf_binary(&g, KF_ADD, x, r), *out, *z = kf_var(&g, 9, 3, KF_ROLE_I);
    const kf_node *acc = kf_var(&g, 0, 3, KF_ROLE_ACC);
    ck_assert_int_eq(kf_substitute(&g, 1, &f, true, exchanged, &(exchange){r, acc, 0}, &out), KCL_OK);
    ck_assert_ptr_eq(out, kf_binary(&g, KF_ADD, x, acc));
    ck_assert_int_eq(kf_substitute(&g, 1, &f, true, exchanged, &(exchange){x, z, 0}, &out), KCL_OK);
    ck_assert_ptr_eq(out, kf_binary(&g, KF_ADD, z, r));
    ck_assert_int_eq(kf_substitute(&g, 1, &f, false, exchanged, &(exchange){x, z, 0}, &out), KCL_OK);
    ck_assert_ptr_eq(
        out, kf_binary(&g, KF_ADD, z, kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_J, 0, kf_binary(&g, KF_MULT, z, y))));
    ck_assert_int_eq(kf_substitute(&g, 1, &f, false, exchanged, &(exchange){x, p, 0}, &out), KCL_ERROR_SHAPE);
}
END_TEST

START_TEST(import_copies_every_kind_of_node)
{
    dense d;
    kf_graph from, to;
    dense_init(&d, &from, 2, 2, case_seed(8));
    garden w;
    garden_init(&w, &d, 702, true);
    for (int k = 0; k < 4; k++)
        w.pool[w.count++] = dense_var(&d, (kf_role)(k % 3), 1 + k % 3, -2, 2);
    bool seen[KF_OP_COUNT] = {false};
    garden_grow(&w, 600);
    for (int op = KF_SOFTDTW; op <= KF_SOFTDTW_GRAD; op++) /* operators that do not grow there */
        w.pool[w.count++] = kf_make(&from, (kf_op)op, (const kf_node *[]){w.pool[1], w.pool[2], w.pool[0]}, NULL);
    for (size_t k = 0; k < from.count; k++)
        seen[from.nodes[k]->op] = true;
    for (int op = 0; op < KF_OP_COUNT; op++)
        ck_assert_msg(seen[op], "no %s in the random formulas", kf_info(op)->name);
    kf_graph_init(&to, NULL);
    const kf_node **out = calloc((size_t)w.count, sizeof *out);
    ck_assert_int_eq(kf_import(&to, &from, (size_t)w.count, w.pool, out), KCL_OK);
    for (int k = 0; k < w.count; k++) {
        ck_assert_uint_eq(out[k]->hash, w.pool[k]->hash);
        ck_assert_int_eq(out[k]->dim, w.pool[k]->dim);
        ck_assert_uint_eq(out[k]->axes, w.pool[k]->axes);
        ck_assert(to.nodes[out[k]->id] == out[k]);
    }
    free(out);
    kf_graph_finish(&to);
    garden_finish(&w);
    dense_finish(&d);
}
END_TEST

/* ---- Depth ------------------------------------------------------------------------------------------------------- */

enum { DEPTH = 100000 };

/* Long chains of different kinds; recursion over operands would exhaust the stack. */
static const kf_node *chain_link(int kind, const kf_node *f, int k)
{
    switch (kind) {
    case 0:
        return kf_unary(&g, k % 2 ? KF_SIN : KF_COS, f);
    case 1:
        return kf_binary(&g, KF_ADD, f, k % 2 ? x : y);
    case 2:
        return kf_binary(&g, KF_MULT, k % 2 ? x : y, f);
    case 3:
        return kf_binary(&g, KF_DIVIDE, f, s); /* the sum of it comes last */
    case 4:
        return kf_binary(&g, KF_SUB, k % 2 ? x : y, kf_unary(&g, KF_MINUS, f));
    case 5:
        return kf_binary(&g, KF_MULT, f, kf_binary(&g, KF_MULT, kf_rat(&g, k % 7 + 1, 8), k % 2 ? s : x));
    case 6:
        return f->dim == 1 ? kf_binary(&g, KF_MULT, x, f) : kf_unary(&g, KF_SUM, f);
    case 7:
        return kf_binary(&g, KF_CONCAT, f, s);
    default:
        return with(KF_EXTRACT, with(KF_EXTRACTT, f, 1, 4), 0, 3);
    }
}

START_TEST(deep_formulas_do_not_exhaust_the_stack)
{
    const kf_node *f = x;
    for (int k = 0; k < DEPTH; k++)
        ck_assert_msg((f = chain_link(_i, f, k)) != NULL, "%s", g.error.text);
    if (f->dim > 1)
        f = kf_unary(&g, KF_SUM, f);
    ck_assert_uint_ge(node_count(&g, f), DEPTH);
    const kf_node *t = kf_transpose(&g, f), *u, *v, *d;
    ck_assert_msg(t != NULL, "%s", g.error.text);
    ck_assert_ptr_eq(kf_transpose(&g, t), f);
    kf_graph other;
    kf_graph_init(&other, NULL);
    ck_assert_int_eq(kf_import(&other, &g, 1, &f, &u), KCL_OK);
    ck_assert_uint_eq(u->hash, f->hash);
    kf_graph_finish(&other);
    ck_assert_int_eq(kf_substitute(&g, 1, &f, false, exchanged, &(exchange){x, y, 0}, &v), KCL_OK);
    ck_assert_msg(kf_simplify(&g, 1, &f, &v) == KCL_OK, "%s", g.error.text);
    ck_assert_int_eq(v->dim, f->dim);
    ck_assert_msg(kf_vjp(&g, f, kf_rat(&g, 1, 1), 1, &x, &d) == KCL_OK, "%s", g.error.text);
    ck_assert_int_eq(d->dim, x->dim);
    const kf_node *total = kf_reduce(&g, KF_REDUCE_SUM, KF_AXIS_I | KF_AXIS_J, 0, f);
    ck_assert_msg(kf_gradient(&g, total, kf_rat(&g, 1, 1), 1, &x, &d) == KCL_OK, "%s", g.error.text);
    ck_assert_uint_eq(d->axes, KF_AXIS_I);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("passes");
    TCase *tests = tcase_create("passes");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, order_lists_operands_before_users_once);
    tcase_add_test(tests, order_finds_nodes_far_apart);
    tcase_add_test(tests, order_depends_on_the_structure_alone);
    tcase_add_test(tests, order_stops_at_reductions_that_are_no_roots);
    tcase_add_test(tests, rewriting_visits_every_node_once);
    tcase_add_test(tests, rewriting_stops_at_reductions_where_asked);
    tcase_add_test(tests, substitution_replaces_leaves);
    tcase_add_test(tests, substitution_of_reductions_and_inside_them);
    tcase_add_test(tests, import_copies_every_kind_of_node);
    tcase_add_loop_test(tests, deep_formulas_do_not_exhaust_the_stack, 0, 9);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
