/* SPDX-License-Identifier: MIT */
/* formula/graph.c: the operator table, interning, constructors. */
#include "intern.h"
#include "layout.h"
#include "make.h"
#include "reductions.h"

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

/* The parameters of nodes that have none. */
static const int64_t no_params[KF_LEAST_PARAMS];

static bool has_params(const kf_node *f)
{
    return f->param_count != KF_LEAST_PARAMS || memcmp(f->param, no_params, sizeof no_params) != 0;
}

static uint64_t structure_hash(const kf_node *f)
{
    uint64_t kind = f->kind | (uint64_t)f->axes << 8;
    uint64_t bits, h = kb_hash_combine(f->op | kind << 8, (uint64_t)f->dim);
    memcpy(&bits, &f->value, sizeof bits);
    if (bits)
        h = kb_hash_combine(h, bits);
    for (int k = 0; has_params(f) && k < f->param_count; k++)
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
    const size_t size = g->table_size ? g->table_size * 2 : 256;
    kf_entry *table = kb_calloc(kf_allocator(g), size, sizeof *table);
    if (!table)
        return false;
    for (size_t k = 0; k < g->table_size; k++) {
        if (!g->table[k].number)
            continue;
        size_t slot = g->table[k].hash & (size - 1);
        while (table[slot].number)
            slot = (slot + 1) & (size - 1);
        table[slot] = g->table[k];
    }
    kb_free(kf_allocator(g), g->table);
    g->table = table;
    g->table_size = size;
    return true;
}

static uint8_t sized_axes(const kf_node *draft)
{
    uint8_t sized = draft->op == KF_VAR || draft->op == KF_REDUCE ? draft->axes : 0;
    for (int k = 0; k < draft->arg_count && draft->op != KF_REDUCE; k++)
        sized |= draft->arg[k]->sized;
    return sized;
}

/* A new node like *draft, without an id. NULL: memory is out. */
static kf_node *new_node(kf_graph *g, const kf_node *draft)
{
    const size_t size = has_params(draft) ? (size_t)draft->param_count * sizeof *draft->param : 0;
    kf_node *f = kb_arena_alloc(&g->arena, sizeof *f + size);
    if (!f)
        return NULL;
    *f = *draft;
    f->param = size ? memcpy(f + 1, draft->param, size) : no_params;
    return f;
}

/* Returns the node that equals *draft. If there is none, the node is made from the draft. */
const kf_node *kf_intern(kf_graph *g, kf_node *draft)
{
    draft->sized = sized_axes(draft);
    draft->hash = structure_hash(draft);
    if ((g->count + 1) * 4 > g->table_size * 3 && !grow_table(g))
        return out_of_memory(g);
    const uint32_t hash = (uint32_t)draft->hash;
    size_t slot = hash & (g->table_size - 1);
    for (; g->table[slot].number; slot = (slot + 1) & (g->table_size - 1)) {
        const kf_entry *entry = &g->table[slot];
        if (entry->hash == hash && same_structure(g->nodes[entry->number - 1], draft))
            return g->nodes[entry->number - 1];
    }
    if (g->count >= KF_MAX_NODES)
        return kf_refuse(g, KCL_ERROR_SHAPE, "the formula has more than %d nodes", KF_MAX_NODES);
    kf_node *f = new_node(g, draft);
    if (!f || !kb_reserve(kf_allocator(g), (void **)&g->nodes, &g->capacity, g->count + 1, sizeof *g->nodes))
        return out_of_memory(g);
    f->id = (uint32_t)g->count;
    g->nodes[g->count++] = f;
    g->table[slot] = (kf_entry){hash, f->id + 1};
    return f;
}

/* ---- Leaves ------------------------------------------------------------------------------------------------------ */

bool kf_dim_in_range(kf_graph *g, const char *what, int64_t dim)
{
    if (dim >= 1 && dim <= KF_MAX_DIM)
        return true;
    kf_refuse(g, KCL_ERROR_SHAPE, "%s: dimension %lld is not between 1 and %d", what, (long long)dim, KF_MAX_DIM);
    return false;
}

const kf_node *kf_var(kf_graph *g, int64_t index, int64_t dim, kf_role role)
{
    if (!kf_dim_in_range(g, "Var", dim))
        return NULL;
    if (index < 0 || index > INT32_MAX)
        return kf_refuse(g, KCL_ERROR_SHAPE, "Var: index %lld is not between 0 and %d", (long long)index, INT32_MAX);
    if ((int)role < KF_ROLE_I || role > KF_ROLE_ACC)
        return kf_refuse(g, KCL_ERROR_SHAPE, "Var: role %d is not 0 (i), 1 (j) or 2 (parameter)", (int)role);
    kf_node draft = {.op = KF_VAR, .dim = (int32_t)dim, KF_FEW_PARAMS(index, dim, role)};
    draft.axes = role == KF_ROLE_I || role == KF_ROLE_ACC ? KF_AXIS_I : role == KF_ROLE_J ? KF_AXIS_J : 0;
    return kf_intern(g, &draft);
}

/* `var`, but of a kind and on axes that kf_var does not make. */
const kf_node *kf_var_with(kf_graph *g, const kf_node *var, kf_kind kind, unsigned batches)
{
    unsigned axes = var ? (var->axes & KF_PAIR_AXES) | (batches & KF_BATCH_AXES) : 0;
    if (!var || (var->kind == kind && var->axes == axes))
        return var;
    kf_node draft = *var;
    draft.kind = (uint8_t)kind;
    draft.axes = (uint8_t)axes;
    return kf_intern(g, &draft);
}

const kf_node *kf_on_batches(kf_graph *g, const kf_node *var, unsigned axes)
{
    return kf_var_with(g, var, var ? (kf_kind)var->kind : KF_REAL, axes);
}

const kf_node *kf_integers(kf_graph *g, const kf_node *var)
{
    return kf_var_with(g, var, KF_INT, var ? var->axes : 0);
}

const kf_node *kf_lend_axes(kf_graph *g, const kf_node *var, unsigned axes)
{
    if (!var)
        return NULL;
    kf_node draft = *var;
    draft.axes = (uint8_t)axes;
    draft.value = 1;
    return kf_intern(g, &draft);
}

const kf_node *kf_acc(kf_graph *g, int64_t index, int64_t dim, kf_kind kind)
{
    return kf_var_with(g, kf_var(g, index, dim, KF_ROLE_ACC), kind, 0);
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
    kf_node draft = {.op = KF_CONST, .dim = 1, KF_FEW_PARAMS(numerator / a, denominator / a)};
    draft.value = (double)draft.param[0] / (double)draft.param[1];
    return kf_intern(g, &draft);
}

const kf_node *kf_num(kf_graph *g, double value)
{
    if (isnan(value))
        return kf_refuse(g, KCL_ERROR_SHAPE, "a constant must be a number, not NaN");
    if (isinf(value) && value < 0) /* as the text "-inf" is read */
        return kf_unary(g, KF_MINUS, kf_num(g, -value));
    if (value == floor(value) && fabs(value) < 0x1p53)
        return kf_rat(g, (int64_t)value, 1);
    kf_node draft = {.op = KF_CONST, .dim = 1, .value = value, KF_FEW_PARAMS(0)};
    return kf_intern(g, &draft);
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

static const kf_node *refuse_dims(kf_graph *g, const char *name, int32_t a, int32_t b)
{
    return kf_refuse(g, KCL_ERROR_SHAPE,
                     "%s: the operands have dimensions %d and %d; they must be equal, or one of them 1", name, a, b);
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
                return refuse_dims(g, name, (int32_t)dim, other);
            dim = KB_MAX(dim, other);
        }
    }
    if (!kf_dim_in_range(g, name, dim))
        return false;
    draft->dim = (int32_t)dim;
    return true;
}

const kf_node *kf_refuse_integers(kf_graph *g, const char *name)
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
            return kf_refuse_integers(g, info->name);
        draft.arg[k] = args[k];
        draft.axes |= args[k]->axes;
    }
    int count = info->params;
    if (count < 0) /* what is no number of axes is refused below */
        count = 2 + 2 * (int)KB_MAX(KB_MIN(params[0], KF_MAX_RANK), 0) + (info->params == KF_LAYOUT_AND_DIM);
    if (count > 0)
        memcpy(param, params, (size_t)count * sizeof *param);
    draft.param_count = (uint8_t)KB_MAX(count, KF_LEAST_PARAMS);
    return set_dim(g, &draft) ? kf_intern(g, &draft) : NULL;
}

const kf_node *kf_unary(kf_graph *g, kf_op op, const kf_node *a)
{
    return kf_make(g, op, &a, NULL);
}

const kf_node *kf_binary(kf_graph *g, kf_op op, const kf_node *a, const kf_node *b)
{
    return kf_make(g, op, (const kf_node *[]){a, b}, NULL);
}

static bool dims_fit(const kf_node *a, const kf_node *b)
{
    return a->dim == b->dim || a->dim == 1 || b->dim == 1;
}

const kf_node *kf_exchanged(kf_graph *g, kf_op op, const kf_node *a, const kf_node *b)
{
    return !a || !b || dims_fit(a, b) ? kf_binary(g, op, b, a) : refuse_dims(g, kf_info(op)->name, a->dim, b->dim);
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
    if (a && b && !dims_fit(a, b))
        return refuse_dims(g, "Scalprod", a->dim, b->dim);
    if (a && b && a->dim != b->dim && (a->dim == 1 || b->dim == 1)) {
        const kf_node *scalar = a->dim == 1 ? a : b, *vector = a->dim == 1 ? b : a;
        return kf_binary(g, KF_MULT, scalar, kf_unary(g, KF_SUM, vector));
    }
    return kf_unary(g, KF_SUM, kf_binary(g, KF_MULT, a, b));
}
