/* An operator of one's own for lowpass.jepa: keeps the lower half of each row's frequencies, with FFTW.

     cc -shared -fPIC lowpass.c -lfftw3f -lm -o liblowpass.so

   jepac calls it with the operands, the result, and the extents of the result. FFTW's planner is not
   reentrant; jepac calls one function at a time. */
#include <fftw3.h>
#include <stdint.h>
#include <stdlib.h>

/* What they take, which C cannot tell: jepac compares. */
const char lowpass_types[] = "f32[2] -> f32[2]", lowpass_vjp_types[] = "f32[2], f32[2], f32[2] -> f32[2]";

void lowpass(const float *x, float *y, int64_t rows, int64_t n) {
  int64_t bins = n / 2 + 1;
  float *row = fftwf_malloc(sizeof *row * (size_t)n);
  fftwf_complex *f = fftwf_malloc(sizeof *f * (size_t)bins);
  fftwf_plan to = fftwf_plan_dft_r2c_1d((int)n, row, f, FFTW_ESTIMATE);
  fftwf_plan from = fftwf_plan_dft_c2r_1d((int)n, f, row, FFTW_ESTIMATE);
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t i = 0; i < n; i++) row[i] = x[r * n + i];
    fftwf_execute(to);
    for (int64_t k = bins / 2; k < bins; k++) f[k][0] = f[k][1] = 0;
    fftwf_execute(from);
    for (int64_t i = 0; i < n; i++) y[r * n + i] = row[i] / (float)n;
  }
  fftwf_destroy_plan(to);
  fftwf_destroy_plan(from);
  fftwf_free(row);
  fftwf_free(f);
}

/* The filter is linear and symmetric: its derivative is itself, applied to the result's gradient. */
void lowpass_vjp(const float *x, const float *y, const float *g, float *dx, int64_t rows, int64_t n) {
  (void)x;
  (void)y;
  lowpass(g, dx, rows, n);
}
