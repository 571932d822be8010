/* SPDX-License-Identifier: MIT */
/*
 * Calls that are known already: keopscl._core.prepared.Prepared.
 *
 * A small computation on a GPU takes the host two or three microseconds. Each attribute of a tensor that Python reads
 * takes a tenth, and a call on four tensors reads twenty. So a call that was made before with tensors of the same
 * types, sizes and strides is done here: tensors are looked at, the call is found by what they are, PyTorch makes the
 * results, and the library computes. Whatever is out of the ordinary is left to Python, by NotImplemented.
 *
 * All of it runs under the interpreter's lock, but for the computation itself, and is of the limited API.
 */

static int keopscl_raised;    /* threads that have an exception to raise after a call (keopscl._core.interrupts) */
static int64_t keopscl_calls; /* calls that were done here */

enum { KEOPSCL_MOST_ARRAYS = 32, MOST_PLANS = 64 };

struct result {
    PyObject *shape;
    PyObject *strides;  /* NULL: new_empty takes none */
    PyObject *keywords; /* the dtype as a keyword of new_empty, NULL: the one of `like` */
    int position;       /* in the tuple of results */
};

/* A call on tensors of the same types, sizes and strides. */
struct plan {
    int uses; /* the table, and calls */
    uint64_t hash;
    int count;
    int64_t *words; /* the key */
    int like;       /* the tensor that results are made like */
    int width;      /* of the tuple of results, 0: the result itself */
    int outs, arguments;
    struct result results[KEOPSCL_MOST_ARRAYS];
    int sources[KEOPSCL_MOST_ARRAYS];         /* of each argument the number of its tensor, -1: a number */
    uintptr_t addresses[KEOPSCL_MOST_ARRAYS]; /* of the numbers */
    PyObject *holder;                         /* of the numbers */
    PyObject *record;                         /* what does a call with gradients, NULL: `arrays` are computed with */
    kcl_array *arrays;                        /* without addresses: results, then arguments */
};

typedef struct prepared {
    PyObject ob_base;
    const kcl_operator *op;
    PyObject *owner; /* of the operator */
    int placed;      /* plans are for one place each, since numbers among their arguments lie there */
    int differs;     /* where gradients are recorded: results have gradients */
    int count;
    struct plan *plans[MOST_PLANS]; /* the one that was used last comes first */
} prepared;

static void release_plan(struct plan *plan)
{
    if (!plan || --plan->uses > 0)
        return;
    for (int k = 0; k < plan->outs; k++) {
        Py_XDECREF(plan->results[k].shape);
        Py_XDECREF(plan->results[k].strides);
        Py_XDECREF(plan->results[k].keywords);
    }
    Py_XDECREF(plan->holder);
    Py_XDECREF(plan->record);
    free(plan->words);
    free(plan->arrays);
    free(plan);
}

static uint64_t hash_of(const int64_t *words, int count)
{
    uint64_t hash = 14695981039346656037u;
    for (int k = 0; k < count; k++)
        hash = (hash ^ (uint64_t)words[k]) * 1099511628211u;
    return hash;
}

/* The number of a plan, -1: there is none. */
static int find_plan(const prepared *self, const struct look *look)
{
    const uint64_t hash = hash_of(look->words, look->count);
    for (int k = 0; k < self->count; k++) {
        const struct plan *const plan = self->plans[k];
        if (plan->hash == hash && plan->count == look->count &&
            memcmp(plan->words, look->words, (size_t)look->count * sizeof *look->words) == 0)
            return k;
    }
    return -1;
}

static void forget(prepared *self)
{
    while (self->count > 0)
        release_plan(self->plans[--self->count]);
}

static void set_key(const prepared *self, struct look *look, const struct place *place, int records)
{
    look->words[0] = place && self->placed ? (int64_t)place->number : 0;
    look->words[1] = (int64_t)look->card * 2 + records;
}

/* A new tensor for a result; NULL with or without an exception, without: Python is to do the call. */
static PyObject *new_result(const keopscl_dl_functions *functions, const struct result *result, PyObject *like,
                            uintptr_t *address)
{
    PyObject *made = NULL;
    if (result->keywords) {
        PyObject *const arguments = PyTuple_Pack(result->strides ? 3 : 2, like, result->shape, result->strides);
        made = arguments ? PyObject_Call(torch.new_empty, arguments, result->keywords) : NULL;
        Py_XDECREF(arguments);
    } else {
        made = PyObject_CallFunctionObjArgs(torch.new_empty, like, result->shape, result->strides, NULL);
    }
    if (!made)
        return NULL;
    *address = 0;
    int end = LEAVE;
    if ((PyObject *)Py_TYPE(made) == torch.tensor) {
        keopscl_dl_tensor seen;
        if (!functions)
            end = ask_address(made, address);
        else if (functions->look(made, &seen) == 0) {
            *address = (uintptr_t)seen.data;
            end = LOOKED;
        } else if (PyErr_Occurred())
            end = leave_to_python();
    }
    if (end == LOOKED && *address)
        return made;
    Py_DECREF(made);
    return NULL;
}

/* Does a call: makes the results, computes them, and returns them as users see them. */
static PyObject *run_plan(prepared *self, const keopscl_dl_functions *functions, const struct plan *plan,
                          struct place place, const struct look *look, PyObject *tensors)
{
    uintptr_t addresses[KEOPSCL_MOST_ARRAYS];
    PyObject *results = NULL, *last = NULL, *const like = PyTuple_GetItem(tensors, plan->like);
    if (plan->width > 0) {
        results = PyTuple_New(plan->width);
        if (!results)
            return NULL;
        for (int k = 0; k < plan->width; k++) {
            Py_INCREF(Py_None);
            PyTuple_SetItem(results, k, Py_None);
        }
    }
    for (int k = 0; k < plan->outs; k++) {
        last = new_result(functions, &plan->results[k], like, &addresses[k]);
        if (!last) {
            Py_XDECREF(results);
            if (PyErr_Occurred())
                return NULL;
            Py_RETURN_NOTIMPLEMENTED;
        }
        if (results)
            PyTuple_SetItem(results, plan->results[k].position, last);
    }
    if (!results)
        results = last;
    for (int k = 0; k < plan->arguments; k++)
        addresses[plan->outs + k] = plan->sources[k] < 0 ? plan->addresses[k] : look->addresses[plan->sources[k]];

    PyThreadState *const thread = PyEval_SaveThread();
    const kcl_status status = keopscl_apply(self->op, place.context, plan->arrays, (void *const *)addresses, plan->outs,
                                            plan->arguments, place.memories);
    PyEval_RestoreThread(thread);
    PyObject *told = NULL;
    if (status < 0 || keopscl_raised) {
        told = PyObject_CallFunction(torch.problem, "Oi", place.owner, (int)status);
        if (!told || status < 0) {
            Py_DECREF(results);
            results = NULL;
        }
    }
    if (told && status < 0) {
        forget(self); /* what could be computed before can no more, so a longer look is not in vain */
        Py_INCREF(Py_NotImplemented);
        results = Py_NotImplemented;
    }
    Py_XDECREF(told);
    if (status >= 0)
        keopscl_calls++;
    return results;
}

/* Whether a call is captured whose numbers are those of the graph (see Stream.view_of_numbers): 0, or not 0, with an
   exception or without. */
static long long is_for_graph(const prepared *self, const struct look *look)
{
    if (!self->placed || look->card == HOST)
        return 0;
    PyObject *const card = PyLong_FromLong(look->card);
    const long long captured = card ? ask_number(torch.is_capturing, card) : -1;
    Py_XDECREF(card);
    return captured;
}

/* prepared(*tensors) */
static PyObject *prepared_call(PyObject *object, PyObject *tensors, PyObject *keywords)
{
    prepared *const self = (prepared *)object;
    const Py_ssize_t count = PyTuple_Size(tensors);
    if (keywords && PyDict_Size(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "a prepared call takes no keyword arguments");
        return NULL;
    }
    if (self->count == 0 || count == 0 || count > KEOPSCL_MOST_TENSORS)
        Py_RETURN_NOTIMPLEMENTED;
    PyObject *const level = PyDict_GetItemWithError(torch.forward, torch.level);
    if (!level || PyLong_AsLong(level) >= 0) { /* tensors may have tangents */
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NOTIMPLEMENTED;
    }
    const keopscl_dl_functions *const functions = exchange_of_torch();
    if (!functions && PyErr_Occurred())
        return NULL;
    struct look look;
    struct place *place = NULL;
    int records = 0;
    int end = look_at_all(functions, tensors, self->differs, &look, &records);
    if (end == LOOKED && !records)
        end = find_current_place(functions, look.card, &place);
    if (end == FAILED)
        return NULL;
    if (end == LEAVE)
        Py_RETURN_NOTIMPLEMENTED;
    set_key(self, &look, place, records);
    const int found = find_plan(self, &look);
    if (found < 0)
        Py_RETURN_NOTIMPLEMENTED;
    struct plan *const plan = self->plans[found];
    memmove(&self->plans[1], &self->plans[0], (size_t)found * sizeof *self->plans);
    self->plans[0] = plan;
    plan->uses++;
    PyObject *result = NULL;
    if (records) {
        result = PyObject_CallObject(plan->record, tensors);
        release_plan(plan);
        return result;
    }
    PyObject *const owner = place->owner; /* which keeps the place, whatever PyTorch runs in the meantime */
    Py_INCREF(owner);
    const long long captured = is_for_graph(self, &look);
    if (captured == 0) {
        result = run_plan(self, functions, plan, *place, &look, tensors);
    } else if (!PyErr_Occurred()) {
        Py_INCREF(Py_NotImplemented);
        result = Py_NotImplemented;
    }
    Py_DECREF(owner);
    release_plan(plan);
    return result;
}

/* Fills a plan from what `learn` was given: sources and results as tuples. */
static int fill_plan(struct plan *plan, const struct look *look, uintptr_t arrays, PyObject *sources, PyObject *results)
{
    plan->arguments = (int)PyTuple_Size(sources);
    for (int k = 0; k < plan->arguments; k++) {
        PyObject *const source = PyTuple_GetItem(sources, k);
        if (PyTuple_Check(source)) {
            plan->sources[k] = -1;
            plan->addresses[k] = (uintptr_t)PyLong_AsUnsignedLongLong(PyTuple_GetItem(source, 0));
        } else {
            plan->sources[k] = (int)PyLong_AsLong(source);
        }
    }
    const int outs = (int)PyTuple_Size(results);
    int type = -1;
    for (int k = 0; k < outs && !PyErr_Occurred(); k++) {
        struct result *const result = &plan->results[k];
        PyObject *shape, *strides;
        if (!PyArg_ParseTuple(PyTuple_GetItem(results, k), "OOii", &shape, &strides, &type, &result->position))
            return 0;
        result->shape = shape;
        Py_INCREF(shape);
        if (strides != Py_None) {
            result->strides = strides;
            Py_INCREF(strides);
        }
        plan->outs++;
        if (k == 0)
            for (int t = look->tensors - 1; t >= 0; t--)
                if (look->types[t] == type)
                    plan->like = t;
        if (look->types[plan->like] == type)
            continue;
        PyObject *const dtype = type == KCL_F32 ? torch.f32 : type == KCL_F64 ? torch.f64 : torch.i64;
        result->keywords = PyDict_New();
        if (!result->keywords || PyDict_SetItem(result->keywords, torch.dtype, dtype) < 0)
            return 0;
    }
    if (PyErr_Occurred())
        return 0;
    const size_t bytes = (size_t)(plan->outs + plan->arguments) * sizeof *plan->arrays;
    plan->arrays = malloc(bytes ? bytes : 1);
    if (!plan->arrays) {
        PyErr_NoMemory();
        return 0;
    }
    memcpy(plan->arrays, (const void *)arrays, bytes);
    return 1;
}

/* learn(tensors, arrays, sources, results, width, record): prepares calls on tensors like these, in the place where
   they are, which is settled. `arrays` is the address of a kcl_array[]; `sources` has for each argument the number of
   its tensor, or (address, what holds it) of a number; `results` has (shape, strides or None, type, position in the
   tuple of `width` results) for each result. With `record`, which is not None, calls that record
   gradients are calls of it. */
static PyObject *prepared_learn(PyObject *object, PyObject *given)
{
    prepared *const self = (prepared *)object;
    PyObject *tensors, *sources, *results, *record;
    unsigned long long arrays;
    int width;
    if (!PyArg_ParseTuple(given, "O!KO!O!iO", &PyTuple_Type, &tensors, &arrays, &PyTuple_Type, &sources, &PyTuple_Type,
                          &results, &width, &record))
        return NULL;
    const Py_ssize_t count = PyTuple_Size(tensors);
    if (count == 0 || count > KEOPSCL_MOST_TENSORS ||
        PyTuple_Size(sources) + PyTuple_Size(results) > KEOPSCL_MOST_ARRAYS)
        Py_RETURN_FALSE;
    const keopscl_dl_functions *const functions = exchange_of_torch();
    if (!functions && PyErr_Occurred())
        return NULL;
    struct look look;
    struct place *place = NULL;
    int records = 0;
    int end = look_at_all(functions, tensors, 0, &look, &records);
    if (end == LOOKED && record == Py_None && is_for_graph(self, &look))
        end = PyErr_Occurred() ? FAILED : LEAVE;
    if (end == LOOKED && record == Py_None)
        end = find_current_place(functions, look.card, &place);
    if (end == FAILED)
        return NULL;
    if (end == LEAVE)
        Py_RETURN_FALSE;
    set_key(self, &look, place, record != Py_None);

    struct plan *const plan = calloc(1, sizeof *plan);
    int64_t *const words = malloc((size_t)look.count * sizeof *words);
    if (!plan || !words) {
        free(plan);
        free(words);
        return PyErr_NoMemory();
    }
    memcpy(words, look.words, (size_t)look.count * sizeof *words);
    plan->uses = 1;
    plan->words = words;
    plan->count = look.count;
    plan->hash = hash_of(words, look.count);
    plan->width = width;
    Py_INCREF(sources);
    plan->holder = sources;
    if (record != Py_None) {
        Py_INCREF(record);
        plan->record = record;
    } else if (!fill_plan(plan, &look, (uintptr_t)arrays, sources, results)) {
        release_plan(plan);
        return NULL;
    }
    const int found = find_plan(self, &look);
    if (found < 0 && self->count == MOST_PLANS)
        forget(self);
    struct plan *const before = found < 0 ? NULL : self->plans[found];
    self->plans[found < 0 ? self->count++ : found] = plan;
    release_plan(before);
    Py_RETURN_TRUE;
}

/* Prepared(operator, owner, placed, differs): calls of an operator, whose address is a number, as long as its owner
   lives. `placed`: numbers are among the arguments. `differs`: its results have gradients. */
static PyObject *prepared_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    (void)keywords;
    unsigned long long op;
    PyObject *owner;
    int placed, differs;
    if (!PyArg_ParseTuple(arguments, "KOpp", &op, &owner, &placed, &differs))
        return NULL;
    prepared *const self = (prepared *)PyType_GenericAlloc(type, 0);
    if (self) {
        Py_INCREF(owner);
        self->op = (const kcl_operator *)(uintptr_t)op;
        self->owner = owner;
        self->placed = placed;
        self->differs = differs;
    }
    return (PyObject *)self;
}

static void prepared_free(PyObject *object)
{
    prepared *const self = (prepared *)object;
    PyTypeObject *const type = Py_TYPE(object);
    forget(self);
    Py_XDECREF(self->owner);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyMethodDef prepared_methods[] = {
    {"learn", prepared_learn, METH_VARARGS, "Prepares calls on tensors like these."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot prepared_slots[] = {
    {Py_tp_new, (void *)prepared_new},
    {Py_tp_dealloc, (void *)prepared_free},
    {Py_tp_call, (void *)prepared_call},
    {Py_tp_methods, prepared_methods},
    {Py_tp_doc, "Calls that are known already."},
    {0, NULL},
};

static PyType_Spec prepared_spec = {"keopscl._native.Prepared", (int)sizeof(prepared), 0, Py_TPFLAGS_DEFAULT,
                                    prepared_slots};

/* ---- Into Python ------------------------------------------------------------------------------------------------- */

/* configure(tensor, parameter, f32, f64, i64, new_empty, is_neg, is_grad_enabled, forward, cards, contexts, problem):
   what PyTorch is asked. Objects are kept for ever. */
static PyObject *configure(PyObject *self, PyObject *arguments)
{
    (void)self;
    if (!PyArg_ParseTuple(arguments, "OOOOOOOOOOOO", &torch.tensor, &torch.parameter, &torch.f32, &torch.f64,
                          &torch.i64, &torch.new_empty, &torch.is_neg, &torch.is_grad_enabled, &torch.forward,
                          &torch.cards, &torch.contexts, &torch.problem))
        return NULL;
    const struct {
        PyObject **name;
        const char *text;
    } names[] = {
        {&torch.level, "_current_level"}, {&torch.asked, "_default"},
        {&torch.exchange, "exchange"},    {&torch.pointer_of, "pointer_of"},
        {&torch.index_of, "index_of"},    {&torch.is_on_host, "is_on_host"},
        {&torch.stream_of, "stream_of"},  {&torch.is_capturing, "is_capturing"},
        {&torch.dtype, "dtype"},          {&torch.shape, "shape"},
        {&torch.stride, "stride"},        {&torch.requires_grad, "requires_grad"},
    };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        *names[k].name = PyUnicode_InternFromString(names[k].text);
        if (!*names[k].name)
            return NULL;
    }
    Py_INCREF(arguments);
    Py_RETURN_NONE;
}

static PyMethodDef functions_for_python[] = {
    {"configure", configure, METH_VARARGS, NULL},
    {"settle", settle, METH_VARARGS, NULL},
    {"leave", leave, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

/* Puts the type Prepared, and the functions, into the dictionary at an address, by name; -1: an exception of Python's
   has kept it from that. */
static int keopscl_prepare(uintptr_t dictionary)
{
    const PyGILState_STATE state = PyGILState_Ensure();
    PyObject *const names = (PyObject *)dictionary;
    PyObject *const type = PyType_FromSpec(&prepared_spec);
    int status = type ? PyDict_SetItemString(names, "Prepared", type) : -1;
    Py_XDECREF(type);
    for (PyMethodDef *each = functions_for_python; each->ml_name && status == 0; each++) {
        PyObject *const function = PyCFunction_NewEx(each, NULL, NULL);
        status = function ? PyDict_SetItemString(names, each->ml_name, function) : -1;
        Py_XDECREF(function);
    }
    if (status < 0)
        PyErr_Clear();
    PyGILState_Release(state);
    return status;
}
