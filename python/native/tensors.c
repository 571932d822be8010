/* SPDX-License-Identifier: MIT */
/*
 * What tensors of a call are, at a look: by DLPack's table of functions where PyTorch has it, else by their attributes.
 */

/* ---- DLPack's table of functions --------------------------------------------------------------------------------- */

/* Declarations of DLPack 1.x (dlpack.h), whose layout is fixed by its major version. */
typedef struct keopscl_dl_tensor {
    void *data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t type_code, type_bits;
    uint16_t type_lanes;
    int64_t *shape, *strides; /* in elements */
    uint64_t byte_offset;
} keopscl_dl_tensor;

typedef struct keopscl_dl_functions {
    uint32_t major, minor;
    void *before;
    void (*allocate)(void), (*give)(void), (*take)(void);
    int (*look)(void *object, keopscl_dl_tensor *out); /* may be NULL */
    int (*current_stream)(int32_t device_type, int32_t device_id, void **out);
} keopscl_dl_functions;

enum { DL_CPU = 1, DL_CUDA = 2, DL_INT = 0, DL_FLOAT = 2 };

/* ---- What PyTorch is asked --------------------------------------------------------------------------------------- */

enum { HOST = -1 }; /* the number of the memory of the host, where cards have theirs */

/* Objects that live as long as the process; set by keopscl._core.prepared.configure. */
static struct {
    PyObject *tensor, *parameter; /* the types whose objects are looked at */
    PyObject *f32, *f64, *i64;    /* dtypes */
    PyObject *new_empty;          /* torch.Tensor.new_empty_strided, or new_empty */
    PyObject *is_neg;             /* torch.Tensor.is_neg */
    PyObject *is_grad_enabled;    /* torch.is_grad_enabled */
    PyObject *forward, *level;    /* names of torch.autograd.forward_ad, and the one of its level */
    PyObject *cards;              /* names of keopscl.torch._cuda: exchange, pointer_of, index_of, ... */
    PyObject *contexts, *asked;   /* names of keopscl._core.contexts, and the one of the device asked for */
    PyObject *problem;            /* raises what a call has to tell, or returns None for a longer look */
    PyObject *exchange, *pointer_of, *index_of, *is_on_host, *stream_of, *is_capturing; /* names */
    PyObject *dtype, *shape, *stride, *requires_grad;                                   /* names */
} torch;

/* ---- Tensors at a look ------------------------------------------------------------------------------------------- */

enum { KEOPSCL_MOST_TENSORS = 24, MOST_AXES = 12, MOST_WORDS = 2 + KEOPSCL_MOST_TENSORS * (1 + 2 * MOST_AXES) };

/* Tensors of a call. `words` are the key of the call: the number of a place or 0, the card, and for each tensor its
   type and number of axes, its sizes and its strides. */
struct look {
    int64_t words[MOST_WORDS];
    int count;
    int tensors;
    int card;
    int types[KEOPSCL_MOST_TENSORS];
    uintptr_t addresses[KEOPSCL_MOST_TENSORS];
};

/* A look at a tensor ends in LOOKED, LEAVE (to Python, no exception is set) or FAILED (an exception is set). */
enum { LOOKED, LEAVE, FAILED };

/* What PyTorch cannot tell, of tensors without memory, is no error of a call: Python looks at them. */
static int leave_to_python(void)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return FAILED;
    PyErr_Clear();
    return LEAVE;
}

static const keopscl_dl_functions *exchange_of_torch(void)
{
    PyObject *const capsule = PyDict_GetItemWithError(torch.cards, torch.exchange);
    if (!capsule || capsule == Py_None)
        return NULL;
    const keopscl_dl_functions *const functions = PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
    return functions && functions->major == 1 && functions->look && functions->current_stream ? functions : NULL;
}

/* The result of a function of keopscl.torch._cuda; NULL with an exception. */
static PyObject *ask(PyObject *name, PyObject *argument)
{
    PyObject *const function = PyDict_GetItemWithError(torch.cards, name);
    if (!function) {
        if (!PyErr_Occurred())
            PyErr_SetObject(PyExc_AttributeError, name);
        return NULL;
    }
    return PyObject_CallFunctionObjArgs(function, argument, NULL);
}

/* The same, as a number that is told as a number or as a truth value; -1 with an exception set is an error. */
static long long ask_number(PyObject *name, PyObject *argument)
{
    PyObject *const told = ask(name, argument);
    if (!told)
        return -1;
    const long long number = PyLong_AsLongLong(told);
    Py_DECREF(told);
    return number;
}

static int ask_address(PyObject *tensor, uintptr_t *address)
{
    PyObject *const told = ask(torch.pointer_of, tensor);
    if (!told)
        return leave_to_python();
    *address = (uintptr_t)PyLong_AsUnsignedLongLong(told);
    Py_DECREF(told);
    return PyErr_Occurred() ? leave_to_python() : LOOKED;
}

/* Appends a tuple of numbers to the key: sizes, or strides. */
static int append_numbers(struct look *look, PyObject *numbers, Py_ssize_t count)
{
    int end = LEAVE;
    if (numbers && PyTuple_Check(numbers) && PyTuple_Size(numbers) == count) {
        for (Py_ssize_t k = 0; k < count; k++) {
            /* Sizes that are open, of a program that is traced, are no numbers. */
            PyObject *const number = PyTuple_GetItem(numbers, k);
            look->words[look->count++] = PyLong_CheckExact(number) ? PyLong_AsLongLong(number) : -1;
        }
        end = PyErr_Occurred() ? leave_to_python() : LOOKED;
    } else if (PyErr_Occurred()) {
        end = leave_to_python();
    }
    Py_XDECREF(numbers);
    return end;
}

/* Type, sizes, strides, address and card of a tensor by its attributes. */
static int look_by_attributes(PyObject *tensor, struct look *look, int *card)
{
    PyObject *const dtype = PyObject_GetAttr(tensor, torch.dtype);
    Py_XDECREF(dtype); /* dtypes live as long as PyTorch */
    if (!dtype)
        return leave_to_python();
    const int type = dtype == torch.f32 ? KCL_F32 : dtype == torch.f64 ? KCL_F64 : dtype == torch.i64 ? KCL_I64 : -1;
    if (type < 0)
        return LEAVE;
    PyObject *const shape = PyObject_GetAttr(tensor, torch.shape);
    const Py_ssize_t axes = shape && PyTuple_Check(shape) ? PyTuple_Size(shape) : MOST_AXES + 1;
    if (axes > MOST_AXES) {
        Py_XDECREF(shape);
        return PyErr_Occurred() ? leave_to_python() : LEAVE;
    }
    look->types[look->tensors] = type;
    look->words[look->count++] = (int64_t)axes << 8 | type;
    int end = append_numbers(look, shape, axes);
    if (end == LOOKED)
        end = append_numbers(look, PyObject_CallMethodObjArgs(tensor, torch.stride, NULL), axes);
    if (end == LOOKED)
        end = ask_address(tensor, &look->addresses[look->tensors]);
    if (end != LOOKED)
        return end;
    const long long number = ask_number(torch.index_of, tensor);
    if (number == -1 && PyErr_Occurred())
        return leave_to_python();
    if (number < 0) {
        const long long on_host = ask_number(torch.is_on_host, tensor);
        if (on_host != 1)
            return PyErr_Occurred() ? leave_to_python() : LEAVE;
    }
    *card = number < 0 ? HOST : (int)number;
    return LOOKED;
}

/* The same by DLPack's functions, which takes a tenth of the time. */
static int look_by_functions(const keopscl_dl_functions *functions, PyObject *tensor, struct look *look, int *card)
{
    keopscl_dl_tensor seen;
    if (functions->look(tensor, &seen) != 0)
        return PyErr_Occurred() ? leave_to_python() : LEAVE;
    int type = -1;
    if (seen.type_lanes == 1 && seen.type_code == DL_FLOAT)
        type = seen.type_bits == 32 ? KCL_F32 : seen.type_bits == 64 ? KCL_F64 : -1;
    else if (seen.type_lanes == 1 && seen.type_code == DL_INT && seen.type_bits == 64)
        type = KCL_I64;
    if (type < 0 || seen.ndim > MOST_AXES || (seen.device_type != DL_CPU && seen.device_type != DL_CUDA))
        return LEAVE;
    *card = seen.device_type == DL_CPU ? HOST : seen.device_id;
    look->types[look->tensors] = type;
    look->addresses[look->tensors] = (uintptr_t)seen.data + (uintptr_t)seen.byte_offset;
    look->words[look->count++] = (int64_t)seen.ndim << 8 | type;
    for (int k = 0; k < seen.ndim; k++)
        look->words[look->count++] = seen.shape[k];
    for (int k = 0; k < seen.ndim; k++)
        look->words[look->count++] = seen.strides[k];
    return LOOKED;
}

/* Whether an attribute, or the result of a method without arguments, is true: 1, 0, or -1 with an exception. */
static int is_true(PyObject *value)
{
    const int truth = value == Py_True ? 1 : value == Py_False ? 0 : value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    return truth;
}

/* Looks at a tensor. The imaginary part of a conjugate is a tensor of real numbers that are negated when they are read:
   Python makes a copy of such tensors. */
static int look_at(const keopscl_dl_functions *functions, PyObject *tensor, struct look *look, int *card)
{
    PyTypeObject *const type = Py_TYPE(tensor);
    if ((PyObject *)type != torch.tensor && (PyObject *)type != torch.parameter)
        return LEAVE;
    const int end =
        functions ? look_by_functions(functions, tensor, look, card) : look_by_attributes(tensor, look, card);
    if (end != LOOKED)
        return end;
    if (look->addresses[look->tensors] == 0)
        return LEAVE;
    const int negated = is_true(PyObject_CallFunctionObjArgs(torch.is_neg, tensor, NULL));
    return negated < 0 ? leave_to_python() : negated ? LEAVE : LOOKED;
}

/* Looks at the tensors of a call, which are all on one device. *records: gradients are recorded and one of them
   requires its gradient; `differs`: that is another call. */
static int look_at_all(const keopscl_dl_functions *functions, PyObject *tensors, int differs, struct look *look,
                       int *records)
{
    const int grad = differs ? is_true(PyObject_CallObject(torch.is_grad_enabled, NULL)) : 0;
    if (grad < 0)
        return FAILED;
    *records = 0;
    look->count = 2;
    look->card = HOST;
    const int count = (int)PyTuple_Size(tensors);
    for (look->tensors = 0; look->tensors < count; look->tensors++) {
        PyObject *const tensor = PyTuple_GetItem(tensors, look->tensors);
        int card = HOST;
        const int end = look_at(functions, tensor, look, &card);
        if (end != LOOKED)
            return end;
        if (look->tensors == 0)
            look->card = card;
        else if (card != look->card)
            return LEAVE;
        if (grad && !*records) {
            *records = is_true(PyObject_GetAttr(tensor, torch.requires_grad));
            if (*records < 0)
                return FAILED;
        }
    }
    return LOOKED;
}
