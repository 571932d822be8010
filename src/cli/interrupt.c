/* SPDX-License-Identifier: MIT */
/* cli/interrupt.c: Ctrl-C ends the tool. */
#define _POSIX_C_SOURCE 200809L /* sigaction, alarm */
#include "cli.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static _Atomic(kcl_context *) computing; /* NULL: nothing has to be cancelled */

static void give_up(int signal_number)
{
    static const char text[] = "keopscl: interrupted\n";
    (void)signal_number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(EXIT_INTERRUPTED); /* nobody is there to read it */
    _exit(EXIT_INTERRUPTED);
}

/* What cannot be cancelled, such as the compiler of a driver, does not keep the user waiting. */
static void interrupt(int signal_number)
{
    kcl_context *context = atomic_load(&computing);
    if (!context)
        give_up(signal_number);
    kcl_context_cancel(context);
    alarm(1);
}

void take_interrupts(void)
{
    struct sigaction action, old;
    /* A shell that starts the tool in the background has it ignore the signal. */
    if (sigaction(SIGINT, NULL, &old) != 0 || old.sa_handler == SIG_IGN)
        return;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = give_up;
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = interrupt;
    action.sa_flags = (int)SA_RESETHAND; /* another one ends the process at once */
    sigaction(SIGINT, &action, NULL);
}

void begin_computation(kcl_context *context)
{
    kcl_context_set_cancellable(context, 1);
    atomic_store(&computing, context);
}

void end_computation(void)
{
    atomic_store(&computing, NULL);
    alarm(0);
}
