# SPDX-License-Identifier: MIT
r"""
Geodesic shooting, for curves and surfaces
==========================================

The module of the two scripts that deform shapes (LDDMM). Points :math:`q` and momenta :math:`p` follow the Hamiltonian
:math:`H(q, p) = \frac12 \sum_{ij} \exp(-|q_i - q_j|^2 / s^2) \, p_i \cdot p_j` from time 0 to time 1. The right-hand
side :math:`(\partial H / \partial p, -\partial H / \partial q)` consists of reductions of derived formulas. Its
transposed Jacobian is needed to go back through the steps. This product is a second derivative of :math:`H` in one
direction, a reduction again: no array of pairs is stored.
"""

import numpy as np

from keopscl.numpy import Pm, Vi, Vj

ONE = np.ones(1)


class Geodesics:
    """Shooting with a Gaussian kernel of the width s, in steps of Ralston's method."""

    def __init__(self, width, steps=10):
        self.scale, self.steps = np.array([1 / width**2]), steps

    def term(self, q, p):
        """The summand of H, twice, and its four variables."""
        q_i, p_i, q_j, p_j = Vi(q), Vi(p), Vj(q), Vj(p)
        return (-Pm(self.scale) * q_i.sqdist(q_j)).exp() * (p_i | p_j), (q_i, p_i, q_j, p_j)

    def energy(self, q, p):
        """H, which is constant along a path."""
        return 0.5 * self.term(q, p)[0].sum(axis=1).sum()

    def velocity(self, q, p):
        """dH/dp and -dH/dq. Derivatives in q_i and p_i are enough: by symmetry the other half of H adds as much."""
        term, (q_i, p_i, _, _) = self.term(q, p)
        return term.grad(p_i, Pm(ONE)).sum(axis=1), -term.grad(q_i, Pm(ONE)).sum(axis=1)

    def transposed(self, q, p, of_q, of_p):
        """The transposed Jacobian of the velocity, times a vector: the Hessian of H in the direction (-of_p, of_q)."""
        term, variables = self.term(q, p)
        u, w = -of_p, of_q
        directions = Vi(u), Vi(w), Vj(u), Vj(w)
        results = []
        for variable in variables[:2]:
            gradient = term.grad(variable, Pm(ONE))
            results.append(sum(gradient.diff(x, d) for x, d in zip(variables, directions)).sum(axis=1))
        return results

    def shoot(self, q, p):
        """The path: positions and momenta at all times."""
        path, h = [(q, p)], 1 / self.steps
        for _ in range(self.steps):
            dq, dp = self.velocity(q, p)
            eq, ep = self.velocity(q + 2 / 3 * h * dq, p + 2 / 3 * h * dp)
            q, p = q + h * (dq + 3 * eq) / 4, p + h * (dp + 3 * ep) / 4
            path.append((q, p))
        return path

    def back(self, path, gradient):
        """The gradient in the first momenta of a function of the last positions, from its gradient there."""
        h, of_q, of_p = 1 / self.steps, gradient, np.zeros_like(gradient)
        for q, p in reversed(path[:-1]):
            dq, dp = self.velocity(q, p)
            late = self.transposed(q + 2 / 3 * h * dq, p + 2 / 3 * h * dp, 3 / 4 * h * of_q, 3 / 4 * h * of_p)
            early = self.transposed(q, p, h / 4 * of_q + 2 / 3 * h * late[0], h / 4 * of_p + 2 / 3 * h * late[1])
            of_q, of_p = of_q + late[0] + early[0], of_p + late[1] + early[1]
        return of_p


def current_distance(centres, directions, others, other_directions, width):
    """|C - C'|^2 of two currents, and its gradients in centres and directions. The scalar product of two currents is
    sum_kl exp(-|a_k - a_l|^2 / w^2) t_k.t_l, with centres a of segments or triangles, and tangents or normals t."""
    scale = Pm(np.array([1 / width**2]))
    value, of_centres, of_directions = 0.0, 0.0, 0.0
    a, t = Vi(centres), Vi(directions)
    for b, s, sign in ((centres, directions, 1), (others, other_directions, -2)):
        term = (-scale * a.sqdist(Vj(b))).exp() * (t | Vj(s))
        factor = 2 if sign == 1 else sign  # centres and directions stand on both sides of the first product
        value = value + sign * term.sum(axis=1).sum()
        of_centres = of_centres + factor * term.grad(a, Pm(ONE)).sum(axis=1)
        of_directions = of_directions + factor * term.grad(t, Pm(ONE)).sum(axis=1)
    c, r = Vi(others), Vi(other_directions)
    own = ((-scale * c.sqdist(Vj(others))).exp() * (r | Vj(other_directions))).sum(axis=1).sum()
    return value + own, of_centres, of_directions
