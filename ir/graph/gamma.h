/* Derivatives of the logarithm of the gamma function. */
#ifndef JEPAC_IR_GRAPH_GAMMA_H
#define JEPAC_IR_GRAPH_GAMMA_H

/* digamma, and polygamma of the whole order nearest to `order`: 0 is digamma. Beyond order 1 only positive x have one. */
double gamma_psi(double x);
double gamma_polygamma(double order, double x);

/* Both are sums from x on to where an asymptotic series holds: GAMMA_SHIFT terms, then GAMMA_TERMS. */
enum { GAMMA_SHIFT = 10, GAMMA_TERMS = 8 };
extern const double gamma_bernoulli[GAMMA_TERMS]; /* the Bernoulli numbers B2, B4, ... */

#endif
