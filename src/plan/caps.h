/* SPDX-License-Identifier: MIT */
/* plan/caps.h: the properties of a device that plans depend on. Filled by the device layer, or by hand in tests. */
#ifndef KP_CAPS_H
#define KP_CAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum kp_device_class { KP_CPU, KP_GPU } kp_device_class;

typedef struct kp_caps {
    kp_device_class device_class;
    int lanes_f32;         /* vector width that fills a register of a CPU: 4, 8 or 16 floats */
    int lanes_f64;         /* the same for doubles: 2, 4 or 8 */
    int vector_registers;  /* vector registers of a CPU core: 16 or 32 */
    int compute_units;     /* of the device, whatever the thread limit: results must not depend on the limit */
    int max_work_group;    /* work-items in a work-group */
    size_t local_memory;   /* bytes of local memory a work-group can have */
    size_t private_memory; /* bytes of private arrays a work-item may hold */
    int64_t max_groups;    /* work-groups along an axis of a launch */
    bool has_f64;          /* doubles in kernels */
    bool slow_divider;     /* an estimate and an iteration of Newton's method take less time than a CPU's division */
} kp_caps;

/* Returns typical capabilities of a device class, "cpu" or "gpu", for `emit`; NULL for another name. */
const kp_caps *kp_caps_profile(const char *name);

#endif
