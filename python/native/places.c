/* SPDX-License-Identifier: MIT */
/*
 * Where the calls of a thread take place: its contexts, by card and stream.
 */

/* A context of a thread, on a stream of a card, or on the device of the memory of the host. */
struct place {
    struct place *next;
    uint64_t number; /* one for each place that there ever was */
    uint64_t thread;
    int card;
    uintptr_t stream;
    kcl_context *context;
    keopscl_memories *memories; /* NULL: memory of the host */
    PyObject *owner;            /* the context's; not owned here: `leave` is called before it goes */
    PyObject *asked;            /* the device that was asked for when calls were found to compute here */
};

enum { PLACES = 256 };
static struct place *places[PLACES];

static uint64_t this_thread(void)
{
    static uint64_t threads;
    static _Thread_local uint64_t number;
    if (number == 0)
        number = ++threads;
    return number;
}

static struct place **places_of(uint64_t thread, int card, uintptr_t stream)
{
    const uint64_t mixed = (thread * 31 + (uint64_t)(card + 1)) * 31 + (stream >> 4 ^ stream >> 12);
    return &places[mixed % PLACES];
}

static struct place *find_place(int card, uintptr_t stream)
{
    const uint64_t thread = this_thread();
    struct place *found = *places_of(thread, card, stream);
    while (found && !(found->thread == thread && found->card == card && found->stream == stream))
        found = found->next;
    return found;
}

/* settle(card, stream, owner, context, memories, asked) */
static PyObject *settle(PyObject *self, PyObject *arguments)
{
    (void)self;
    int card;
    unsigned long long stream, context, memories;
    PyObject *owner, *asked;
    if (!PyArg_ParseTuple(arguments, "iKOKKO", &card, &stream, &owner, &context, &memories, &asked))
        return NULL;
    static uint64_t made;
    struct place *place = find_place(card, (uintptr_t)stream);
    if (!place) {
        struct place **first = places_of(this_thread(), card, (uintptr_t)stream);
        place = calloc(1, sizeof *place);
        if (!place)
            return PyErr_NoMemory();
        place->thread = this_thread();
        place->card = card;
        place->stream = (uintptr_t)stream;
        place->next = *first;
        *first = place;
    }
    if (place->owner != owner)
        place->number = ++made;
    place->context = (kcl_context *)(uintptr_t)context;
    place->memories = (keopscl_memories *)(uintptr_t)memories;
    place->owner = owner;
    PyObject *const before = place->asked;
    Py_INCREF(asked);
    place->asked = asked;
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

/* leave(context): the context is about to be destroyed. */
static PyObject *leave(PyObject *self, PyObject *context)
{
    (void)self;
    const uintptr_t gone = (uintptr_t)PyLong_AsUnsignedLongLong(context);
    if (PyErr_Occurred())
        return NULL;
    for (int k = 0; k < PLACES; k++)
        for (struct place **at = &places[k]; *at;) {
            struct place *const place = *at;
            if ((uintptr_t)place->context != gone) {
                at = &place->next;
                continue;
            }
            *at = place->next;
            Py_XDECREF(place->asked);
            free(place);
        }
    Py_RETURN_NONE;
}

/* The place of a call: the current stream of a card, or the memory of the host. LEAVE: Python knows more. */
static int find_current_place(const keopscl_dl_functions *functions, int card, struct place **place)
{
    *place = NULL;
    uintptr_t stream = 0;
    if (card != HOST && functions) {
        void *current = NULL;
        if (functions->current_stream(DL_CUDA, card, &current) != 0)
            return PyErr_Occurred() ? leave_to_python() : LEAVE;
        stream = (uintptr_t)current;
    } else if (card != HOST) {
        PyObject *const number = PyLong_FromLong(card);
        PyObject *const told = number ? ask(torch.stream_of, number) : NULL;
        Py_XDECREF(number);
        if (told)
            stream = (uintptr_t)PyLong_AsUnsignedLongLong(told);
        Py_XDECREF(told);
        if (PyErr_Occurred())
            return leave_to_python();
    }
    struct place *const found = find_place(card, stream);
    if (!found || PyDict_GetItemWithError(torch.contexts, torch.asked) != found->asked)
        return LEAVE;
    *place = found;
    return LOOKED;
}
