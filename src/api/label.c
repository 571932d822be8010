/* SPDX-License-Identifier: MIT */
/* api/label.c: names of arrays for errors. */
#include "label.h"

#include <string.h>

void ka_put_text(ka_name *name, const char *text)
{
    const size_t room = name->size - 1 - name->length, size = strlen(text), taken = KB_MIN(size, room);
    memcpy(name->text + name->length, text, taken);
    name->length += taken;
    name->text[name->length] = 0;
    if (size > room)
        memcpy(name->text + name->size - 4, "...", 4);
}

void ka_put_number(ka_name *name, int64_t number)
{
    char text[24], *at = text + sizeof text - 1;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *at = 0;
    do
        *--at = (char)('0' + left % 10);
    while (left /= 10);
    if (number < 0)
        *--at = '-';
    ka_put_text(name, at);
}
