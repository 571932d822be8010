/* SPDX-License-Identifier: MIT */
/* formula/graph.c: the operator table, interning, constructors. */
#include "graph.h"

#include <math.h>
#include <string.h>

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

static const kf_op_info op_table[KF_OP_COUNT] = {
#define KF_MAP(id, name, arity, params, cost, value, kernel, da, db, dc, low, high)                                    \
    {name, KF_CLASS_MAP, arity, params, cost, kernel, low, high},
#define KF_NODE(id, name, arity, params, class) {name, KF_CLASS_##class, arity, params, 0, NULL, 0, 0},
#include "ops.def"
};

const kf_op_info *kf_info(kf_op op)
{
    return &op_table[op];
}

static const kf_reduction_info reduction_table[KF_REDUCTION_COUNT] = {
#define KF_REDUCTION(id, name, formulas, params, dimension, kind) {name, formulas, params, KF_##kind},
#include "reductions.def"
};

const kf_reduction_info *kf_reduction_get(kf_reduction reduction)
{
    return &reduction_table[reduction];
}

int64_t kf_reduction_dim(kf_reduction reduction, int64_t dim, int64_t param)
{
    (void)param;
    switch (reduction) {
#define KF_REDUCTION(id, name, formulas, params, dimension, kind)                                                      \
    case KF_REDUCE_##id:                                                                                               \
        return dimension;
#include "reductions.def"
    case KF_REDUCTION_COUNT:
        break;
    }
    return 0;
}

double kf_powi(double base, int64_t exponent)
{
    uint64_t n = exponent < 0 ? 0 - (uint64_t)exponent : (uint64_t)exponent;
    double power = 1;
    for (double factor = base; n; n >>= 1, factor *= factor)
        if (n & 1)
            power *= factor;
    return exponent < 0 ? 1 / power : power;
}

double kf_round(double value, int64_t digits)
{
    const double scale = pow(10, (double)(digits < 0 ? -digits : digits));
    double scaled = digits < 0 ? value / scale : value * scale;
    if (!(fabs(scaled) < 0x1p52)) /* whole already, or no number */
        return value;
    scaled = round(scaled);
    return digits < 0 ? scaled * scale : scaled / scale;
}

/*
 * The series converges for all x, but for large ones its terms cancel; the recurrence upwards from sin(x)/x loses digits
 * where x is small beside n.
 */
double kf_spherical(double x, int64_t n)
{
    const double square = x * x;
    if (n > 0 && fabs(x) < (double)(n + 1)) {
        double sum = 1, scale = 1;
        for (int64_t k = 14 + 2 * n; k > 0; k--)
            sum = 1 - square / (double)(2 * k * (2 * n + 2 * k + 1)) * sum;
        for (int64_t k = 1; k <= n; k++)
            scale *= (double)(2 * k + 1);
        return sum / scale;
    }
    if (isinf(x))
        return 0;
    double here = x == 0 ? 1 : sin(x) / x, before = cos(x);
    for (int64_t k = 0; k < n; k++) {
        const double next = ((double)(2 * k + 1) * here - before) / square;
        before = here;
        here = next;
    }
    return here;
}

/* ---- The graph --------------------------------------------------------------------------------------------------- */

kcl_status kf_graph_init(kf_graph *g, const kcl_allocator *allocator)
{
    memset(g, 0, sizeof *g);
    kb_arena_init(&g->arena, allocator);
    return KCL_OK;
}

void kf_graph_finish(kf_graph *g)
{
    const kcl_allocator allocator = g->arena.allocator;
    kb_free(&allocator, g->nodes);
    kb_free(&allocator, g->table);
    kb_arena_finish(&g->arena);
    kf_graph_init(g, &allocator);
}

const kcl_allocator *kf_allocator(const kf_graph *g)
{
    return &g->arena.allocator;
}

void kf_clear_error(kf_graph *g)
{
    kb_error_clear(&g->error);
}

KB_PRINTF(3, 4) const kf_node *kf_refuse(kf_graph *g, kcl_status status, const char *format, ...)
{
    if (g->error.status == KCL_OK) {
        va_list args;
        va_start(args, format);
        kb_failv(&g->error, status, format, args);
        va_end(args);
    }
    return NULL;
}

static const kf_node *out_of_memory(kf_graph *g)
{
    return kf_refuse(g, KCL_ERROR_NO_MEMORY, "host memory is exhausted");
}

static uint64_t structure_hash(const kf_node *f)
{
    uint64_t kind = f->kind | (f->axes & KF_BATCH_AXES) << 8;
    uint64_t bits, h = kb_hash_combine(f->op | kind << 8, (uint64_t)f->dim);
    memcpy(&bits, &f->value, sizeof bits);
    h = kb_hash_combine(h, bits);
    for (int k = 0; k < f->param_count; k++)
        h = kb_hash_combine(h, (uint64_t)f->param[k]);
    for (int k = 0; k < f->arg_count; k++)
        h = kb_hash_combine(h, f->arg[k]->hash);
    return h;
}

static bool same_structure(const kf_node *f, const kf_node *g)
{
    return f->hash == g->hash && f->op == g->op && f->kind == g->kind && f->axes == g->axes && f->dim == g->dim &&
           f->arg_count == g->arg_count && memcmp(&f->value, &g->value, sizeof f->value) == 0 &&
           f->param_count == g->param_count &&
           memcmp(f->param, g->param, (size_t)f->param_count * sizeof *f->param) == 0 &&
           memcmp(f->arg, g->arg, sizeof f->arg) == 0;
}

static bool grow_table(kf_graph *g)
{
    size_t size = g->table_size ? g->table_size * 2 : 256;
    uint32_t *table = kb_calloc(kf_allocator(g), size, sizeof *table);
    if (!table)
        return false;
    for (size_t k = 0; k < g->count; k++) {
        size_t slot = g->nodes[k]->hash & (size - 1);
        while (table[slot])
            slot = (slot + 1) & (size - 1);
        table[slot] = (uint32_t)k + 1;
    }
    kb_free(kf_allocator(g), g->table);
    g->table = table;
    g->table_size = size;
    return true;
}

/* For drafts: the parameters of a node that has few. */
#define FEW_PARAMS(...)                                                                                                \
    .param_count = KF_LEAST_PARAMS, .param = (int64_t[KF_LEAST_PARAMS])                                                \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static uint8_t sized_axes(const kf_node *draft)
{
    uint8_t sized = draft->op == KF_VAR || draft->op == KF_REDUCE ? draft->axes : 0;
    for (int k = 0; k < draft->arg_count && draft->op != KF_REDUCE; k++)
        sized |= draft->arg[k]->sized;
    return sized;
}

/* Returns the node that equals *draft, made from it where there is none. */
static const kf_node *intern(kf_graph *g, kf_node *draft)
{
    draft->sized = sized_axes(draft);
    draft->hash = structure_hash(draft);
    if ((g->count + 1) * 2 > g->table_size && !grow_table(g))
        return out_of_memory(g);
    size_t slot = draft->hash & (g->table_size - 1);
    for (; g->table[slot]; slot = (slot + 1) & (g->table_size - 1))
        if (same_structure(g->nodes[g->table[slot] - 1], draft))
            return g->nodes[g->table[slot] - 1];
    if (g->count >= KF_MAX_NODES)
        return kf_refuse(g, KCL_ERROR_SHAPE, "the formula has more than %d nodes", KF_MAX_NODES);
    kf_node *f = kb_arena_alloc(&g->arena, sizeof *f + (size_t)draft->param_count * sizeof *draft->param);
    int64_t *param = f ? (int64_t *)(void *)(f + 1) : NULL;
    if (!f || !kb_reserve(kf_allocator(g), (void **)&g->nodes, &g->capacity, g->count + 1, sizeof *g->nodes))
        return out_of_memory(g);
    *f = *draft;
    memcpy(param, draft->param, (size_t)draft->param_count * sizeof *param);
    f->param = param;
    f->id = (uint32_t)g->count;
    f->rank = 1;
    f->shape = &f->dim;
    g->nodes[g->count++] = f;
    g->table[slot] = f->id + 1;
    return f;
}

/* ---- Leaves ------------------------------------------------------------------------------------------------------ */

static bool dim_in_range(kf_graph *g, const char *what, int64_t dim)
{
    if (dim >= 1 && dim <= KF_MAX_DIM)
        return true;
    kf_refuse(g, KCL_ERROR_SHAPE, "%s: dimension %lld is not between 1 and %d", what, (long long)dim, KF_MAX_DIM);
    return false;
}

const kf_node *kf_var(kf_graph *g, int64_t index, int64_t dim, kf_role role)
{
    if (!dim_in_range(g, "Var", dim))
        return NULL;
    if (index < 0 || index > INT32_MAX)
        return kf_refuse(g, KCL_ERROR_SHAPE, "Var: index %lld is not between 0 and %d", (long long)index, INT32_MAX);
    if ((int)role < KF_ROLE_I || role > KF_ROLE_ACC)
        return kf_refuse(g, KCL_ERROR_SHAPE, "Var: role %d is not 0 (i), 1 (j) or 2 (parameter)", (int)role);
    kf_node draft = {.op = KF_VAR, .dim = (int32_t)dim, FEW_PARAMS(index, dim, role)};
    draft.axes = role == KF_ROLE_I || role == KF_ROLE_ACC ? KF_AXIS_I : role == KF_ROLE_J ? KF_AXIS_J : 0;
    return intern(g, &draft);
}

/* `var`, but of a kind and on axes that kf_var does not make. */
static const kf_node *with(kf_graph *g, const kf_node *var, kf_kind kind, unsigned batches)
{
    unsigned axes = var ? (var->axes & KF_PAIR_AXES) | (batches & KF_BATCH_AXES) : 0;
    if (!var || (var->kind == kind && var->axes == axes))
        return var;
    kf_node draft = *var;
    draft.kind = (uint8_t)kind;
    draft.axes = (uint8_t)axes;
    return intern(g, &draft);
}

const kf_node *kf_on_batches(kf_graph *g, const kf_node *var, unsigned axes)
{
    return with(g, var, var ? (kf_kind)var->kind : KF_REAL, axes);
}

const kf_node *kf_integers(kf_graph *g, const kf_node *var)
{
    return with(g, var, KF_INT, var ? var->axes : 0);
}

const kf_node *kf_lend_axes(kf_graph *g, const kf_node *var, unsigned axes)
{
    if (!var)
        return NULL;
    kf_node draft = *var;
    draft.axes = (uint8_t)axes;
    draft.value = 1;
    return intern(g, &draft);
}

const kf_node *kf_acc(kf_graph *g, int64_t index, int64_t dim, kf_kind kind)
{
    return with(g, kf_var(g, index, dim, KF_ROLE_ACC), kind, 0);
}

const kf_node *kf_rat(kf_graph *g, int64_t numerator, int64_t denominator)
{
    if (denominator == 0)
        return kf_refuse(g, KCL_ERROR_SHAPE, "RatCst: the denominator is 0");
    if (numerator == 0)
        return kf_zero(g, 1);
    if (numerator == INT64_MIN || denominator == INT64_MIN)
        return kf_num(g, (double)numerator / (double)denominator);
    int64_t a = numerator < 0 ? -numerator : numerator, b = denominator < 0 ? -denominator : denominator;
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    if (denominator < 0)
        a = -a;
    kf_node draft = {.op = KF_CONST, .dim = 1, FEW_PARAMS(numerator / a, denominator / a)};
    draft.value = (double)draft.param[0] / (double)draft.param[1];
    return intern(g, &draft);
}

const kf_node *kf_num(kf_graph *g, double value)
{
    if (!isfinite(value))
        return kf_refuse(g, KCL_ERROR_SHAPE, "a constant must be a finite number");
    if (value == floor(value) && fabs(value) < 0x1p53)
        return kf_rat(g, (int64_t)value, 1);
    kf_node draft = {.op = KF_CONST, .dim = 1, .value = value, FEW_PARAMS(0)};
    return intern(g, &draft);
}

const kf_node *kf_zero(kf_graph *g, int64_t dim)
{
    return kf_make(g, KF_ZERO, NULL, &dim);
}

/* ---- Operators --------------------------------------------------------------------------------------------------- */

static const kf_node *bad_index(kf_graph *g, kf_op op, const char *what, int64_t index, int64_t count)
{
    return kf_refuse(g, KCL_ERROR_SHAPE, "%s: %s %lld is not between 0 and %lld", kf_info(op)->name, what,
                     (long long)index, (long long)count - 1);
}

const kf_node *kf_index(kf_graph *g, int64_t a, int64_t b, int64_t c)
{
    return kf_make(g, KF_INDEX, NULL, (int64_t[]){a, b, c});
}

/* Whether the parameters of Index keep every number exact. */
static bool check_index(kf_graph *g, const int64_t *p)
{
    const int64_t most = INT64_C(1) << KF_MAX_START_BITS;
    if ((p[0] || p[1]) && p[0] >= -KF_MAX_STEP && p[0] <= KF_MAX_STEP && p[1] >= -KF_MAX_STEP && p[1] <= KF_MAX_STEP &&
        p[2] >= -most && p[2] <= most)
        return true;
    kf_refuse(
        g, KCL_ERROR_SHAPE,
        "Index: %lld i + %lld j + %lld: the factors of i and j must be between %d and %d and not both 0, the last "
        "number at most 2^%d",
        (long long)p[0], (long long)p[1], (long long)p[2], -KF_MAX_STEP, KF_MAX_STEP, KF_MAX_START_BITS);
    return false;
}

/* Sets draft->dim, and draft->axes of leaves; false after refusing. */
static bool set_dim(kf_graph *g, kf_node *draft)
{
    const char *name = kf_info(draft->op)->name;
    const kf_node *a = draft->arg[0], *b = draft->arg[1];
    const int64_t *p = draft->param;
    int64_t dim = 1, count;
    char text[KF_LAYOUT_TEXT];
    switch ((kf_op)draft->op) {
    case KF_ZERO:
    case KF_IOTA:
    case KF_SUMT:
        dim = p[0];
        if (draft->op == KF_SUMT && a->dim != 1)
            return kf_refuse(g, KCL_ERROR_SHAPE, "SumT: the operand has dimension %d, it must be 1", a->dim);
        break;
    case KF_INDEX:
        if (!check_index(g, p))
            return false;
        draft->axes = (p[0] ? KF_AXIS_I : 0) | (p[1] ? KF_AXIS_J : 0);
        break;
    case KF_SUM:
    case KF_MAX:
    case KF_MIN:
        break;
    case KF_SOFTDTW:
    case KF_SOFTDTW_GRAD:
        if (draft->arg[2]->dim != 1)
            return kf_refuse(g, KCL_ERROR_SHAPE, "%s: gamma has dimension %d, it must be 1", name, draft->arg[2]->dim);
        dim = draft->op == KF_SOFTDTW ? 1 : (int64_t)a->dim + b->dim + 1;
        break;
    case KF_SUMROWS:
        if (p[0] < 1 || p[0] > a->dim || a->dim % p[0])
            return kf_refuse(g, KCL_ERROR_SHAPE, "SumRows: %d components are no rows of %lld", a->dim, (long long)p[0]);
        dim = a->dim / p[0];
        break;
    case KF_ARRANGE:
        if (!kf_layout_check(p, false, a->dim, &dim, text))
            return kf_refuse(g, KCL_ERROR_SHAPE, "Arrange: %s", text);
        break;
    case KF_PLACE:
        dim = p[0] >= 1 && p[0] <= KF_MAX_RANK ? p[2 + 2 * p[0]] : 1;
        if (!kf_layout_check(p, true, dim, &count, text))
            return kf_refuse(g, KCL_ERROR_SHAPE, "Place: %s", text);
        if (count != a->dim)
            return kf_refuse(g, KCL_ERROR_SHAPE, "Place: the sizes make %lld components, the operand has %d",
                             (long long)count, a->dim);
        break;
    case KF_ELEM:
        if (p[0] < 0 || p[0] >= a->dim)
            return bad_index(g, KF_ELEM, "index", p[0], a->dim);
        break;
    case KF_ELEMT:
        dim = p[0];
        if (a->dim != 1)
            return kf_refuse(g, KCL_ERROR_SHAPE, "ElemT: the operand has dimension %d, it must be 1", a->dim);
        if (dim >= 1 && (p[1] < 0 || p[1] >= dim))
            return bad_index(g, KF_ELEMT, "index", p[1], dim);
        break;
    case KF_EXTRACT:
        dim = p[1];
        if (p[0] < 0 || dim < 1 || dim > a->dim || p[0] > a->dim - dim)
            return kf_refuse(
                g, KCL_ERROR_SHAPE,
                "Extract: %lld components from %lld on of an operand of dimension %d: the start must be 0 or "
                "more, the length 1 or more, their sum at most %d",
                (long long)dim, (long long)p[0], a->dim, a->dim);
        break;
    case KF_EXTRACTT:
        dim = p[1];
        if (p[0] < 0 || dim < a->dim || dim > KF_MAX_DIM || p[0] > dim - a->dim)
            return kf_refuse(g, KCL_ERROR_SHAPE, "ExtractT: %d components from %lld on do not fit into dimension %lld",
                             a->dim, (long long)p[0], (long long)dim);
        break;
    case KF_CONCAT:
        dim = (int64_t)a->dim + b->dim;
        break;
    case KF_LIKE:
        dim = a->dim;
        draft->kind = a->kind;
        break;
    case KF_POW:
        dim = a->dim;
        if (p[0] < -INT32_MAX || p[0] > INT32_MAX)
            return kf_refuse(g, KCL_ERROR_SHAPE, "Pow: exponent %lld is not between %d and %d", (long long)p[0],
                             -INT32_MAX, INT32_MAX);
        break;
    case KF_ROUND:
        dim = a->dim;
        if (p[0] < -KF_MAX_DIGITS || p[0] > KF_MAX_DIGITS)
            return kf_refuse(g, KCL_ERROR_SHAPE, "Round: %lld decimals are not between %d and %d", (long long)p[0],
                             -KF_MAX_DIGITS, KF_MAX_DIGITS);
        break;
    case KF_SPHERICAL:
        dim = a->dim;
        if (p[0] < 0 || p[0] > KF_MAX_BESSEL)
            return kf_refuse(g, KCL_ERROR_SHAPE,
                             "SphericalBessel: order %lld is not between 0 and %d; derivatives of SinXDivX go up to it",
                             (long long)p[0], KF_MAX_BESSEL);
        break;
    default: /* elementwise */
        dim = a->dim;
        for (int k = 1; k < draft->arg_count; k++) {
            const int32_t other = draft->arg[k]->dim;
            if (dim != other && dim != 1 && other != 1)
                return kf_refuse(g, KCL_ERROR_SHAPE,
                                 "%s: the operands have dimensions %d and %d; they must be equal, or one of them 1",
                                 name, (int)dim, other);
            dim = KB_MAX(dim, other);
        }
    }
    if (!dim_in_range(g, name, dim))
        return false;
    draft->dim = (int32_t)dim;
    return true;
}

static const kf_node *refuse_integers(kf_graph *g, const char *name)
{
    return kf_refuse(g, KCL_ERROR_TYPE, "%s: an operand is an array of int64, which can only be the index of Gather",
                     name);
}

const kf_node *kf_make(kf_graph *g, kf_op op, const kf_node *const *args, const int64_t *params)
{
    const kf_op_info *info = kf_info(op);
    int64_t param[KF_MAX_PARAMS] = {0};
    kf_node draft = {.op = (uint8_t)op, .arg_count = (uint8_t)info->arity, .param = param};
    for (int k = 0; k < info->arity; k++) {
        if (!args[k])
            return kf_refuse(g, KCL_ERROR_ARGUMENT, "%s: operand %d is missing", info->name, k + 1);
        if (kf_is_integers(args[k]) && !(op == KF_LIKE && k == 1))
            return refuse_integers(g, info->name);
        draft.arg[k] = args[k];
        draft.axes |= args[k]->axes;
    }
    int count = info->params;
    if (count < 0) /* what is no number of axes is refused below */
        count = 2 + 2 * (int)KB_MAX(KB_MIN(params[0], KF_MAX_RANK), 0) + (info->params == KF_LAYOUT_AND_DIM);
    if (count > 0)
        memcpy(param, params, (size_t)count * sizeof *param);
    draft.param_count = KB_MAX(count, KF_LEAST_PARAMS);
    return set_dim(g, &draft) ? intern(g, &draft) : NULL;
}

const kf_node *kf_unary(kf_graph *g, kf_op op, const kf_node *a)
{
    return kf_make(g, op, &a, NULL);
}

const kf_node *kf_binary(kf_graph *g, kf_op op, const kf_node *a, const kf_node *b)
{
    return kf_make(g, op, (const kf_node *[]){a, b}, NULL);
}

const kf_node *kf_power(kf_graph *g, const kf_node *f, double exponent)
{
    if (exponent == 1)
        return f;
    if (exponent == 2)
        return kf_unary(g, KF_SQUARE, f);
    if (exponent == 0.5)
        return kf_unary(g, KF_SQRT, f);
    if (exponent == -0.5)
        return kf_unary(g, KF_RSQRT, f);
    if (exponent == floor(exponent) && fabs(exponent) <= INT32_MAX)
        return kf_make(g, KF_POW, &f, &(int64_t){(int64_t)exponent});
    return kf_binary(g, KF_POWF, f, kf_num(g, exponent));
}

const kf_node *kf_dot(kf_graph *g, const kf_node *a, const kf_node *b)
{
    if (a && b && a->dim != b->dim && (a->dim == 1 || b->dim == 1)) {
        const kf_node *scalar = a->dim == 1 ? a : b, *vector = a->dim == 1 ? b : a;
        return kf_binary(g, KF_MULT, scalar, kf_unary(g, KF_SUM, vector));
    }
    return kf_unary(g, KF_SUM, kf_binary(g, KF_MULT, a, b));
}

/* An operand that has the axis; one that tells its length where there is such. */
static const kf_node *operand_with_axis(const kf_node *f, unsigned axis)
{
    int k = 0;
    while (!((f->sized & axis ? f->arg[k]->sized : f->arg[k]->axes) & axis))
        k++;
    return f->arg[k];
}

/* A leaf below f that has the axis. */
static const kf_node *leaf_with_axis(const kf_node *f, unsigned axis)
{
    while (f->op != KF_VAR && f->op != KF_REDUCE && f->op != KF_INDEX)
        f = operand_with_axis(f, axis);
    return f;
}

/* The same, below reductions as well, whose formulas tell the lengths of all their axes. */
static const kf_node *variable_with_axis(const kf_node *f, unsigned axis)
{
    while (f->op != KF_VAR)
        f = operand_with_axis(f, axis);
    return f;
}

const kf_node *kf_like(kf_graph *g, const kf_node *f, const kf_node *axes_of)
{
    return kf_like_on(g, f, axes_of, ~0u);
}

const kf_node *kf_like_on(kf_graph *g, const kf_node *f, const kf_node *axes_of, unsigned axes)
{
    unsigned wanted = axes_of ? axes_of->axes & axes : 0;
    for (unsigned axis = 1; axis < 1u << KF_AXIS_COUNT && f && axes_of; axis *= 2) {
        if (!(wanted & (~f->axes | (axes_of->sized & ~f->sized)) & axis))
            continue;
        const kf_node *leaf = leaf_with_axis(axes_of, axis);
        /* Its other axes are not asked for. */
        if (leaf->op == KF_INDEX)
            leaf = kf_index(g, axis == KF_AXIS_I, axis == KF_AXIS_J, 0);
        else if (leaf->axes & ~(f->axes | wanted)) {
            leaf = variable_with_axis(leaf, axis);
            leaf = kf_lend_axes(g, leaf, leaf->axes & wanted);
        }
        f = kf_binary(g, KF_LIKE, f, leaf);
    }
    return axes_of ? f : NULL;
}

const kf_node *kf_to_real(kf_graph *g, const kf_node *f)
{
    return f && f->kind == KF_INT ? kf_binary(g, KF_MULT, kf_rat(g, 1, 1), f) : f;
}

bool kf_chooses(kf_reduction reduction)
{
    return kf_reduction_get(reduction)->kind == KF_INT || kf_reduction_get(reduction)->params > 0;
}

const kf_node *kf_weighted(kf_graph *g, kf_reduction reduction, const kf_node *F, const kf_node *G)
{
    if (F && F->dim != 1)
        return kf_refuse(
            g, KCL_ERROR_SHAPE,
            "%s_Reduction: the exponent has dimension %d, it must be 1: weigh its components one by one (Elem)",
            kf_reduction_get(reduction)->name, F->dim);
    return kf_binary(g, KF_CONCAT, F, G);
}

const kf_node *kf_term_count(kf_graph *g, unsigned axes, const kf_node *f)
{
    const kf_node *count = kf_rat(g, 1, 1);
    for (unsigned axis = 1; axis < 1u << KF_AXIS_COUNT && f; axis *= 2) {
        if (!(axes & f->axes & axis))
            continue;
        /* Along one axis alone: a sum of its own, of few terms. */
        const kf_node *one = kf_like_on(g, kf_rat(g, 1, 1), f, axis);
        count = kf_binary(g, KF_MULT, count, kf_reduce(g, KF_REDUCE_SUM, axis, 0, one));
    }
    return f ? count : NULL;
}

/* The value of a reduction of one term. */
static const kf_node *of_one_term(kf_graph *g, kf_reduction reduction, const kf_node *f)
{
    if (reduction == KF_REDUCE_LOGSUMEXPWEIGHT)
        return kf_binary(g, KF_ADD, f->arg[0], kf_unary(g, KF_LOG, f->arg[1]));
    return reduction == KF_REDUCE_SUMSOFTMAXWEIGHT ? f->arg[1] : f;
}

/*
 * Batches are reduced in the pass over rows and columns: what that pass gives for each of them is not kept. So a
 * reduction of a reduction is one over all these axes, where one of the two is over batches alone.
 */
static bool is_chain(unsigned axes, const kf_node *f)
{
    return f->op == KF_REDUCE && !kf_is_indexed(f) && (!(axes & KF_PAIR_AXES) || !(f->param[1] & KF_PAIR_AXES));
}

const kf_node *kf_reduce(kf_graph *g, kf_reduction reduction, unsigned axes, int64_t param, const kf_node *f)
{
    static const char *const axis_names[] = {"no axis", "i", "j", "i and j"};
    const kf_reduction_info *info = kf_reduction_get(reduction);
    if (!f)
        return kf_refuse(g, KCL_ERROR_ARGUMENT, "%s_Reduction: the formula is missing", info->name);
    if (kf_is_integers(f))
        return refuse_integers(g, "Reduction");
    if (info->params && param < 1)
        return kf_refuse(g, KCL_ERROR_ARGUMENT, "%s_Reduction: K is %lld, it must be 1 or more", info->name,
                         (long long)param);
    if (info->params && param > KF_MAX_DIM / f->dim)
        return kf_refuse(
            g, KCL_ERROR_SHAPE,
            "%s_Reduction: K is %lld, for a formula of dimension %d: the result can have at most %d components",
            info->name, (long long)param, f->dim, KF_MAX_DIM);
    /* A batch axis that f lacks has size 1: there is one term to choose from. */
    const unsigned there = axes & f->axes, of_one = kf_chooses(reduction) && !there ? axes & KF_BATCH_AXES : 0;
    if (!there && !of_one && kf_chooses(reduction))
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "%s_Reduction over %s: the formula depends on %s, there is nothing to choose from", info->name,
                         axis_names[axes & KF_PAIR_AXES],
                         f->axes & KF_PAIR_AXES ? axis_names[f->axes & KF_PAIR_AXES] : "neither i nor j");
    if (info->formulas == 2 && (f->op != KF_CONCAT || f->arg[0]->dim != 1)) {
        const kf_node *F = kf_make(g, KF_ELEM, &f, &(int64_t){0});
        const kf_node *G = kf_make(g, KF_EXTRACT, &f, (int64_t[]){1, f->dim - 1});
        f = kf_binary(g, KF_CONCAT, F, G);
        if (!f)
            return NULL;
    }
    if (there && f->axes & ~f->sized)
        return kf_refuse(
            g, KCL_ERROR_SHAPE,
            "%s_Reduction: of axis %s the formula has only the numbers, Index%s: nothing tells its length. An "
            "array with that axis must enter the formula, Like(f,x) takes no more than the length from x",
            info->name, axis_names[f->axes & ~f->sized], f->axes & ~f->sized & KF_AXIS_I ? "I" : "J");
    axes = there | of_one;
    if (!axes)
        return of_one_term(g, reduction, f);
    bool nests = reduction == KF_REDUCE_SUM || reduction == KF_REDUCE_LOGSUMEXP || reduction == KF_REDUCE_MIN ||
                 reduction == KF_REDUCE_MAX;
    if (nests && is_chain(axes, f) && f->param[0] == (int64_t)reduction)
        return kf_reduce(g, reduction, axes | (unsigned)f->param[1], param, f->arg[0]);
    kf_node draft = {.op = KF_REDUCE, .arg_count = 1, FEW_PARAMS(reduction, axes, param), .arg = {f}};
    draft.kind = (uint8_t)info->kind;
    draft.axes = (uint8_t)(f->axes & ~axes);
    draft.dim = (int32_t)kf_reduction_dim(reduction, f->dim, param);
    return intern(g, &draft);
}

const kf_node *kf_reduce_on(kf_graph *g, kf_reduction reduction, unsigned axes, int64_t param, const kf_node *f)
{
    if (f && reduction == KF_REDUCE_SUMSOFTMAXWEIGHT && f->op == KF_CONCAT) {
        /* Weights of the inner sums are their exponents' own sums. */
        const kf_node *sums = f->arg[0], *means = f->arg[1];
        if (is_chain(axes, means) && means->param[0] == KF_REDUCE_SUMSOFTMAXWEIGHT && sums->op == KF_REDUCE &&
            sums->param[0] == KF_REDUCE_LOGSUMEXP && sums->param[1] == means->param[1] &&
            sums->arg[0] == means->arg[0]->arg[0])
            return kf_reduce(g, reduction, axes | (unsigned)means->param[1], 0, means->arg[0]);
        return kf_reduce(g, reduction, axes, param, f);
    }
    if (!f || !is_chain(axes, f))
        return kf_reduce(g, reduction, axes, param, f);
    const kf_reduction below = (kf_reduction)f->param[0];
    if (reduction == KF_REDUCE_LOGSUMEXP && below == KF_REDUCE_LOGSUMEXPWEIGHT)
        return kf_reduce(g, below, axes | (unsigned)f->param[1], 0, f->arg[0]);
    if (below != reduction || kf_reduction_get(reduction)->formulas == 2)
        return kf_reduce(g, reduction, axes, param, f);
    if (f->param[2] != param)
        return kf_refuse(
            g, KCL_ERROR_ARGUMENT,
            "%s_Reduction: K is %lld, of a reduction over other axes whose K is %lld: in a chain it must be the same",
            kf_reduction_get(reduction)->name, (long long)param, (long long)f->param[2]);
    return kf_reduce(g, reduction, axes | (unsigned)f->param[1], param, f->arg[0]);
}

/* ---- Rows chosen by an index ------------------------------------------------------------------------------------- */

unsigned kf_index_axes(const kf_node *index)
{
    return (unsigned)kf_value(index)->param[1];
}

/* `reduced`: axes of F that the result lacks. */
static const kf_node *indexed(kf_graph *g, kf_reduction reduction, unsigned axes, unsigned reduced, int64_t dim,
                              const kf_node *F, const kf_node *index, kf_part part, const kf_node *like)
{
    if (!dim_in_range(g, kf_reduction_get(reduction)->name, dim))
        return NULL;
    kf_node draft = {.op = KF_REDUCE, FEW_PARAMS(reduction, reduced, part), .arg = {F, index, like}};
    draft.dim = (int32_t)dim;
    draft.arg_count = like ? 3 : 2;
    draft.axes = (uint8_t)axes;
    return intern(g, &draft);
}

/* Those axes of a table (F of a gather, the result of a scatter) that the index tells. */
static unsigned told_axes(const kf_node *table, const kf_node *index, kf_part part)
{
    return (part == KF_WHOLE ? 0 : table->axes & kf_index_axes(index) & KF_BATCH_AXES) |
           (part == KF_ROW_OF_PLACE ? 0 : table->axes & KF_PAIR_AXES);
}

static bool has_both(unsigned axes)
{
    return (axes & KF_PAIR_AXES) == KF_PAIR_AXES;
}

static const kf_node *refuse_indexed(kf_graph *g)
{
    return kf_refuse(
        g, KCL_ERROR_UNSUPPORTED,
        "the derivative of a smallest or largest value needs a reduction, over batch axes alone, of a formula "
        "that depends on both i and j: reduce that over one of them as well");
}

const kf_node *kf_gather(kf_graph *g, const kf_node *F, const kf_node *index, kf_part part)
{
    F = kf_to_real(g, F);
    if (!F || !index)
        return NULL;
    const unsigned told = told_axes(F, index, part), placed = F->axes & ~told, axes = index->axes | placed;
    if (!told || has_both(F->axes) || has_both(axes) || (part != KF_WHOLE && told & index->axes) ||
        index->kind != KF_INT)
        return refuse_indexed(g);
    const int64_t dim = (int64_t)F->dim * index->dim;
    if (kf_is_zero(kf_value(F)))
        return kf_like_on(g, kf_like(g, kf_zero(g, dim), index), F, placed);
    return indexed(g, KF_REDUCE_GATHER, axes, told, dim, F, index, part, NULL);
}

/* What has these axes of f, without a value: variables that lend them. */
static const kf_node *holder_of(kf_graph *g, const kf_node *f, unsigned axes)
{
    const kf_node *holder = NULL;
    for (unsigned axis = 1; axis < 1u << KF_AXIS_COUNT; axis *= 2) {
        if (!(axes & axis) || (holder && holder->axes & axis))
            continue;
        const kf_node *var = variable_with_axis(f, axis);
        if (var->axes & ~axes)
            var = kf_lend_axes(g, var, var->axes & axes);
        holder = holder ? kf_binary(g, KF_LIKE, holder, var) : var;
        if (!holder)
            return NULL;
    }
    return holder;
}

const kf_node *kf_scatter(kf_graph *g, const kf_node *F, const kf_node *index, kf_part part, const kf_node *like)
{
    F = kf_like(g, kf_to_real(g, F), index);
    if (!F || !like)
        return NULL;
    const unsigned told = told_axes(like, index, part);
    if (!told || has_both(F->axes) || has_both(like->axes) || (part != KF_WHOLE && F->axes & told) ||
        index->kind != KF_INT || F->dim % index->dim)
        return refuse_indexed(g);
    /* Batches that have the index in common are added up before. */
    F = kf_reduce(g, KF_REDUCE_SUM, F->axes & ~(index->axes | like->axes), 0, F);
    if (!F)
        return NULL;
    const unsigned axes = like->axes & (F->axes | told);
    if (kf_is_zero(kf_value(F)))
        return kf_like_on(g, kf_zero(g, F->dim / index->dim), like, axes);
    like = holder_of(g, like, axes);
    return like ? indexed(g, KF_REDUCE_SCATTER, axes, F->axes & ~axes, F->dim / index->dim, F, index, part, like)
                : NULL;
}

const kf_node *kf_whole(kf_graph *g, const kf_node *F)
{
    if (!F || (F->op == KF_REDUCE && F->kind == KF_INT))
        return F;
    if (F->op == KF_MULT && F->arg[1]->op == KF_REDUCE && F->arg[1]->kind == KF_INT && F->arg[0] == kf_rat(g, 1, 1))
        return F->arg[1]; /* kf_to_real */
    F = kf_is_integers(F) ? F : kf_to_real(g, F);
    if (!F)
        return NULL;
    kf_node draft = {.op = KF_REDUCE, .arg_count = 1, FEW_PARAMS(KF_REDUCE_WHOLE), .arg = {F}};
    draft.kind = KF_INT;
    draft.axes = F->axes;
    draft.dim = F->dim;
    return intern(g, &draft);
}

const kf_node *kf_gather_rows(kf_graph *g, const kf_node *table, const kf_node *index)
{
    static const char *const axis_names[] = {"neither i nor j", "i", "j", "both i and j"};
    if (!table || !index)
        return NULL;
    if ((table->axes | index->axes) & KF_BATCH_AXES)
        return kf_refuse(g, KCL_ERROR_UNSUPPORTED, "Gather: the %s has batch axes, that is not there yet",
                         table->axes & KF_BATCH_AXES ? "table" : "index");
    if (!(table->axes & KF_PAIR_AXES) || has_both(table->axes))
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "Gather: the table depends on %s, it must have one of these axes: its rows",
                         axis_names[table->axes & KF_PAIR_AXES]);
    if (index->axes == KF_PAIR_AXES)
        return kf_refuse(g, KCL_ERROR_SHAPE,
                         "Gather: the index depends on both i and j, it must have one axis or none");
    if (index->axes == table->axes)
        index = kf_like(g, index, table);
    if (!index)
        return NULL;
    if (index->axes & ~index->sized || table->axes & ~table->sized)
        return kf_refuse(
            g, KCL_ERROR_SHAPE,
            "Gather: of its axis the %s has only the numbers, Index%s: nothing tells its length. Like(f,x) "
            "takes it from x",
            index->axes & ~index->sized ? "index" : "table",
            (index->axes & ~index->sized ? index : table)->axes & KF_AXIS_I ? "I" : "J");
    return kf_gather(g, table, kf_whole(g, index), KF_WHOLE);
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

/* The vocabulary of composites in ops.def. */
#define INT(x) kf_rat(g, x, 1)
#define INDEX(x, y) kf_index(g, x, y, 0)
#define RAT(p, q) kf_rat(g, p, q)
#define DOT(x, y) kf_dot(g, x, y)
#define SUM(x) kf_unary(g, KF_SUM, x)
#define SUB(x, y) kf_binary(g, KF_SUB, x, y)
#define SQUARE(x) kf_unary(g, KF_SQUARE, x)
#define SQRT(x) kf_unary(g, KF_SQRT, x)
#define RSQRT(x) kf_unary(g, KF_RSQRT, x)
#define FLOOR(x) kf_unary(g, KF_FLOOR, x)
#define MULT(x, y) kf_binary(g, KF_MULT, x, y)
#define DIV(x, y) kf_binary(g, KF_DIVIDE, x, y)
#define LESS(x, y) kf_binary(g, KF_LESS, x, y)
#define WEIGHTED(s, x) kf_weighted_norm(g, s, x)
#define MATVEC(A, x) kf_mat_vec(g, A, x)
#define VECMAT(x, A) kf_vec_mat(g, x, A)
#define TENSORPROD(x, y) kf_tensor_prod(g, x, y)
#define ONEHOT(x, dim) kf_one_hot(g, x, dim)
#define ARGEXTREME(x, op) kf_arg_extreme(g, x, op)
#define SPHERICAL(x, order) kf_make(g, KF_SPHERICAL, (const kf_node *[]){x}, (const int64_t[]){order})
#define COMPLEX(name, ...) kf_complex_##name(g, __VA_ARGS__)
#define CLAMP(x, low, high) clamp(g, x, low, high)
#define MOD(x, n, offset) kf_mod(g, x, n, offset)

static const kf_node *if_true(kf_graph *g, const kf_node *condition, const kf_node *a, const kf_node *b)
{
    return kf_make(g, KF_IFELSE, (const kf_node *[]){SUB(condition, INT(1)), a, b}, NULL);
}

/* x < low ? low : x > high ? high : x, as for numbers in C: NaN stays NaN. */
static const kf_node *clamp(kf_graph *g, const kf_node *x, const kf_node *low, const kf_node *high)
{
    return if_true(g, LESS(x, low), low, if_true(g, LESS(high, x), high, x));
}

const kf_node *kf_mod(kf_graph *g, const kf_node *f, const kf_node *n, const kf_node *offset)
{
    return SUB(f, MULT(n, FLOOR(DIV(SUB(f, offset), n))));
}

static const struct composite {
    const char *name;
    int arity, params;
} composites[] = {
#define KF_COMPOSITE(name, arity, params, expression) {name, arity, params},
#include "ops.def"
};

static const kf_node *make_composite(kf_graph *g, int index, const kf_node *const *args, const int64_t *params)
{
    const kf_node *a = args[0], *b = args[1], *c = args[2];
    const int64_t n = params[0], m = params[1];
    int k = 0;
#define KF_COMPOSITE(name, arity, parameters, expression)                                                              \
    if (k++ == index)                                                                                                  \
        return expression;
#include "ops.def"
    (void)a, (void)b, (void)c, (void)n, (void)m;
    return NULL;
}

#undef INT
#undef INDEX
#undef RAT
#undef DOT
#undef SUM
#undef SUB
#undef SQUARE
#undef SQRT
#undef RSQRT
#undef FLOOR
#undef MULT
#undef DIV
#undef LESS
#undef SPHERICAL
#undef CLAMP
#undef COMPLEX
#undef MOD
#undef WEIGHTED
#undef MATVEC
#undef VECMAT
#undef TENSORPROD
#undef ONEHOT
#undef ARGEXTREME

/* Nodes that no text may name: variables and constants have syntax of their own, reductions their own grammar. */
static bool has_public_name(int op)
{
    return op != KF_VAR && op != KF_REDUCE;
}

bool kf_find_name(const char *text, size_t length, kf_name *name)
{
    for (int k = 0; k < KF_OP_COUNT; k++) {
        if (has_public_name(k) && strlen(op_table[k].name) == length && memcmp(op_table[k].name, text, length) == 0) {
            *name = (kf_name){k, op_table[k].arity, op_table[k].params};
            return true;
        }
    }
    for (size_t k = 0; k < KB_COUNT(composites); k++) {
        if (strlen(composites[k].name) == length && memcmp(composites[k].name, text, length) == 0) {
            *name = (kf_name){-1 - (int)k, composites[k].arity, composites[k].params};
            return true;
        }
    }
    return false;
}

const kf_node *kf_make_name(kf_graph *g, const kf_name *name, const kf_node *const *args, const int64_t *params)
{
    if (name->op == KF_CONST)
        return kf_rat(g, params[0], params[1]);
    if (name->op >= 0)
        return kf_make(g, (kf_op)name->op, args, params);
    const kf_node *all_args[KF_MAX_ARGS] = {0};
    int64_t all_params[KF_MAX_PARAMS] = {0};
    for (int k = 0; k < name->arity; k++) {
        all_args[k] = args[k];
        if (!args[k])
            return kf_refuse(g, KCL_ERROR_ARGUMENT, "%s: operand %d is missing", composites[-1 - name->op].name, k + 1);
    }
    for (int k = 0; k < name->params; k++)
        all_params[k] = params[k];
    return make_composite(g, -1 - name->op, all_args, all_params);
}

void kf_each_name(void (*visit)(void *user, const char *text), void *user)
{
    for (int k = 0; k < KF_OP_COUNT; k++)
        if (has_public_name(k))
            visit(user, op_table[k].name);
    for (size_t k = 0; k < KB_COUNT(composites); k++)
        visit(user, composites[k].name);
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

int kf_copy_source(const kf_node *f, int64_t k, int64_t *component, int64_t *run, int *step)
{
    const int64_t *p = f->param;
    int64_t start = 0, length = f->dim; /* where operand 0 stands in f */
    *step = 1;
    switch ((kf_op)f->op) {
    case KF_SUMT:
        *component = 0;
        *run = f->dim - k;
        *step = 0;
        return 0;
    case KF_ELEM:
        *component = p[0];
        *run = 1;
        return 0;
    case KF_EXTRACT:
        *component = p[0] + k;
        *run = f->dim - k;
        return 0;
    case KF_ARRANGE: {
        const kf_layout l = kf_layout_of(f);
        const int64_t stride = l.stride[l.rank - 1];
        *component = kf_layout_source(&l, k);
        *run = stride == 0 || stride == 1 ? l.size[l.rank - 1] - k % l.size[l.rank - 1] : 1;
        *step = stride != 0;
        return 0;
    }
    case KF_PLACE: {
        const kf_layout l = kf_layout_of(f);
        *component = kf_layout_inverse(&l, k);
        *run = 1;
        if (*component >= 0)
            return 0;
        *component = 0;
        return -1;
    }
    case KF_CONCAT:
        length = f->arg[0]->dim;
        if (k >= length) {
            *component = k - length;
            *run = f->dim - k;
            return 1;
        }
        break;
    case KF_ELEMT:
        start = p[1];
        length = 1;
        break;
    case KF_EXTRACTT:
        start = p[0];
        length = f->arg[0]->dim;
        break;
    default:
        break;
    }
    if (k < start || k >= start + length) {
        *component = 0;
        *run = (k < start ? start : f->dim) - k;
        return -1;
    }
    *component = k - start;
    *run = start + length - k;
    return 0;
}

/* ---- Order ------------------------------------------------------------------------------------------------------- */

kcl_status kf_order_init(kf_order *order, const kf_graph *g, size_t root_count, const kf_node *const *roots,
                         bool stop_at_reduce, kb_error *err)
{
    const uint32_t new_root = UINT32_MAX; /* position of a root not listed yet: another root may lead to it */
    const kcl_allocator *a = kf_allocator(g);
    size_t most = 0, depth = 0, capacity = 0, stack_capacity = 0;
    struct frame {
        const kf_node *node;
        int next;
    } *stack = NULL;
    for (size_t k = 0; k < root_count; k++)
        most = KB_MAX(most, (size_t)roots[k]->id + 1);
    *order = (kf_order){.allocator = *a, .position_count = most};
    order->position = kb_calloc(a, most, sizeof *order->position);
    bool ok = order->position != NULL;
    for (size_t r = 0; ok && r < root_count; r++)
        order->position[roots[r]->id] = new_root;
    for (size_t r = 0; ok && r < root_count; r++) {
        if (order->position[roots[r]->id] != new_root)
            continue;
        ok = kb_reserve(a, (void **)&stack, &stack_capacity, 1, sizeof *stack);
        if (ok)
            stack[depth++] = (struct frame){roots[r], 0};
        while (ok && depth) {
            struct frame *top = &stack[depth - 1];
            const kf_node *f = top->node;
            /* A reduction that is no root is a leaf where asked for; its axes came from a sweep of its own. */
            bool leaf = stop_at_reduce && f->op == KF_REDUCE && order->position[f->id] != new_root;
            if (!leaf && top->next < f->arg_count) {
                const kf_node *arg = f->arg[top->next++];
                if (!order->position[arg->id] || order->position[arg->id] == new_root) {
                    ok = kb_reserve(a, (void **)&stack, &stack_capacity, depth + 1, sizeof *stack);
                    if (ok)
                        stack[depth++] = (struct frame){arg, 0};
                }
                continue;
            }
            depth--;
            if (order->position[f->id] && order->position[f->id] != new_root)
                continue;
            ok = kb_reserve(a, (void **)&order->nodes, &capacity, order->count + 1, sizeof *order->nodes);
            if (ok) {
                order->nodes[order->count++] = f;
                order->position[f->id] = (uint32_t)order->count;
            }
        }
    }
    kb_free(a, stack);
    if (ok)
        return KCL_OK;
    kf_order_finish(order);
    return kb_no_memory(err);
}

void kf_order_finish(kf_order *order)
{
    kb_free(&order->allocator, order->nodes);
    kb_free(&order->allocator, order->position);
    order->nodes = NULL;
    order->position = NULL;
    order->count = 0;
}

/* ---- Rebuilding -------------------------------------------------------------------------------------------------- */

const kf_node *kf_rebuild(kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    switch ((kf_op)f->op) {
    case KF_VAR:
        if (kf_lends_axes(f))
            return kf_lend_axes(g, kf_var(g, f->param[0], f->param[1], (kf_role)f->param[2]), f->axes);
        return with(g, kf_var(g, f->param[0], f->param[1], (kf_role)f->param[2]), (kf_kind)f->kind, f->axes);
    case KF_CONST:
        return f->param[1] ? kf_rat(g, f->param[0], f->param[1]) : kf_num(g, f->value);
    case KF_REDUCE:
        if (f->param[0] == KF_REDUCE_WHOLE)
            return kf_whole(g, args[0]);
        if (kf_is_indexed(f))
            return f->arg_count == 2 ? kf_gather(g, args[0], args[1], (kf_part)f->param[2])
                                     : kf_scatter(g, args[0], args[1], (kf_part)f->param[2], args[2]);
        return kf_reduce(g, (kf_reduction)f->param[0], (unsigned)f->param[1], f->param[2], args[0]);
    default:
        return kf_make(g, (kf_op)f->op, args, f->param);
    }
}

typedef const kf_node *rebuild_fn(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args);

/* Rebuilds, operands first, every node reachable from the roots. `from` holds the roots, `g` receives the results. */
static kcl_status rebuild_all(kf_graph *g, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                              bool stop_at_reduce, rebuild_fn *make, void *user, const kf_node **out)
{
    kf_order order;
    if (kf_order_init(&order, from, root_count, roots, stop_at_reduce, &g->error) < 0)
        return g->error.status;
    kcl_status status = KCL_OK;
    const kf_node **made = kb_calloc(kf_allocator(g), order.count, sizeof *made);
    if (!made)
        status = kb_no_memory(&g->error);
    for (size_t k = 0; status == KCL_OK && k < order.count; k++) {
        const kf_node *f = order.nodes[k], *args[KF_MAX_ARGS] = {0};
        for (int c = 0; c < f->arg_count; c++)
            args[c] = order.position[f->arg[c]->id] ? made[kf_at(&order, f->arg[c])] : f->arg[c];
        made[k] = make(user, g, f, args);
        if (!made[k])
            status = g->error.status;
    }
    for (size_t k = 0; status == KCL_OK && k < root_count; k++)
        out[k] = made[kf_at(&order, roots[k])];
    kb_free(kf_allocator(g), made);
    kf_order_finish(&order);
    return status;
}

typedef struct substitution {
    const kf_node *(*replace)(void *user, const kf_node *leaf);
    void *user;
    bool stops_at_reduce; /* what is below is not looked at: it need not have been made yet */
} substitution;

static const kf_node *substitute_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    const substitution *s = user;
    const kf_node *replaced = f->op == KF_VAR || f->op == KF_REDUCE ? s->replace(s->user, f) : f;
    if (replaced != f || f->op == KF_VAR || (f->op == KF_REDUCE && s->stops_at_reduce))
        return replaced;
    return kf_rebuild(g, f, args);
}

kcl_status kf_substitute(kf_graph *g, size_t root_count, const kf_node *const *roots, bool stop_at_reduce,
                         const kf_node *(*replace)(void *user, const kf_node *leaf), void *user, const kf_node **out)
{
    return rebuild_all(g, g, root_count, roots, stop_at_reduce, substitute_node,
                       &(substitution){replace, user, stop_at_reduce}, out);
}

static const kf_node *import_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    (void)user;
    return kf_rebuild(g, f, args);
}

kcl_status kf_import(kf_graph *g, const kf_graph *from, size_t root_count, const kf_node *const *roots,
                     const kf_node **out)
{
    return rebuild_all(g, from, root_count, roots, false, import_node, NULL, out);
}

static const kf_node *transpose_node(void *user, kf_graph *g, const kf_node *f, const kf_node *const *args)
{
    (void)user;
    static const kf_role swapped[] = {KF_ROLE_J, KF_ROLE_I, KF_ROLE_P, KF_ROLE_ACC};
    static const unsigned swapped_axes[] = {0, KF_AXIS_J, KF_AXIS_I, KF_AXIS_I | KF_AXIS_J};
    if (!(f->axes & KF_PAIR_AXES))
        return f;
    if (f->op == KF_VAR) {
        const kf_node *var = kf_var(g, f->param[0], f->param[1], swapped[f->param[2]]);
        unsigned axes = swapped_axes[f->axes & KF_PAIR_AXES] | (f->axes & KF_BATCH_AXES);
        var = f->kind == KF_INT && !kf_lends_axes(f) ? kf_integers(g, var) : var;
        return kf_lends_axes(f) ? kf_lend_axes(g, var, axes) : kf_on_batches(g, var, axes);
    }
    if (f->op == KF_INDEX)
        return kf_index(g, f->param[1], f->param[0], f->param[2]);
    if (f->op == KF_REDUCE && !kf_is_indexed(f)) {
        unsigned axes = swapped_axes[f->param[1] & KF_PAIR_AXES] | (f->param[1] & KF_BATCH_AXES);
        return kf_reduce(g, (kf_reduction)f->param[0], axes, f->param[2], args[0]);
    }
    return kf_rebuild(g, f, args);
}

const kf_node *kf_transpose(kf_graph *g, const kf_node *f)
{
    const kf_node *out = NULL;
    if (!f || rebuild_all(g, g, 1, &f, false, transpose_node, NULL, &out) < 0)
        return NULL;
    return out;
}
