/* A model inside a program: text in, compiled code out. Fits y = sin(3x) with a small network, saves it, and
   evaluates the saved parameters in a second session.

     cc embed.c $(pkg-config --cflags --libs jepac) -lm -o embed && ./embed */
#include <jepac.h>

#include <math.h>
#include <stdio.h>

static const char text[] =
    "dim B = 32\n"
    "model Fit(width = 32) {\n"
    "  net = Sequential(Linear(1, width), Tanh(), Linear(width, width), Tanh(), Linear(width, 1))\n"
    "  entry forward(x: f32[B, 1], y: f32[B, 1]) {\n"
    "    fit = net(x)\n"
    "    loss = mse(fit, y)\n"
    "    return loss, fit\n"
    "  }\n"
    "}\n"
    "train Fit {\n"
    "  data = synthetic(features = 1, length = 1024)\n"
    "  bind x = data.x, y = data.x\n"
    "  minimize forward.loss\n"
    "  optimizer = adamw(lr = 1e-2)\n"
    "  batch = 32, epochs = 1\n"
    "}\n";

static float *tensor(jepac_session *s, const char *name) {
  jepac_tensor t;
  return jepac_find(s, name, &t) ? t.data : NULL;
}

static void points(jepac_session *s, int step) {
  for (int i = 0; i < 32; i++) {
    float x = (float)((i * 37 + step * 11) % 64) / 32 - 1;
    tensor(s, "x")[i] = x;
    tensor(s, "y")[i] = sinf(3 * x);
  }
}

int main(int argc, char **argv) {
  jepac_model *m = jepac_load_text(text, "fit.jepa", NULL);
  jepac_session *step = jepac_load_status(m) ? NULL : jepac_compile(m, "train_step", 0);
  jepac_session *eval = step ? jepac_compile(m, "forward", 0) : NULL;
  if (!eval) {
    fputs(jepac_message(m), stderr);
    return 1;
  }
  jepac_init(step, 1);
  for (int i = 0; i < 1500; i++) {
    points(step, i);
    jepac_set_number(step, "step", i);
    if (jepac_run(step)) {
      fputs(jepac_message(m), stderr);
      return 1;
    }
  }
  const char *file = argc > 1 ? argv[1] : "fit.safetensors";
  if (jepac_save(step, file) || jepac_load(eval, file)) {
    fputs(jepac_message(m), stderr);
    return 1;
  }
  points(eval, 0);
  jepac_run(eval);
  float loss = *tensor(eval, "loss");
  printf("loss after training %.5f: %s\n", loss, loss < 0.01f ? "fits" : "does not fit");
  jepac_session_free(eval);
  jepac_session_free(step);
  jepac_model_free(m);
  return loss < 0.01f ? 0 : 1;
}
