/* The paper's models on its data sets, by name: a model file and settings, as rows. */
#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

typedef const char *const Sets[];

/* ---- data sets, for models that take two views ---- */
static Sets tiny = {"data=tinyimagenet(views = 2, actions = paper_views(7, published = published), target = "
                    "paper_target(7, published), "
                    "mean = if published then [0.4802, 0.4481, 0.3975] else [0.4914, 0.4822, 0.4465], "
                    "std = if published then [0.2302, 0.2265, 0.2262] else [0.247, 0.243, 0.261], "
                    "normalise = if published then 2 else 0)",
                    "stem=imagenet", "eval.images=100000", "eval.sequences=100000", NULL};
#define DIEBENCH_SIZES                                                                                       \
  "stem=imagenet", "epochs=1000", "eval.images=41920", "eval.test_images=10552", "eval.sequences=41920",     \
      "eval.test_sequences=10552", "eval.retrieval_views=50"
static Sets die = {"data=diebench(views = 2, sign = if published then \"free\" else \"positive\")",
                   DIEBENCH_SIZES, NULL};
static Sets hue = {
    "data=diebench(views = 2, colour = true, sign = if published then \"free\" else \"positive\")",
    DIEBENCH_SIZES, NULL};
static Sets die_action = {"action_dim=4", NULL}, hue_action = {"action_dim=6", NULL};
/* Whole pictures with the augmentations of the other data sets, where the paper's table has SimCLR. */
static Sets stl = {"data=stl10(views = 2, actions = paper_views(7, published = published), target = "
                   "paper_target(7, published), "
                   "split = \"unlabeled\")",
                   "stem=imagenet",
                   "eval.images=5000",
                   "eval.test_images=8000",
                   "eval.sequences=5000",
                   "eval.test_sequences=8000",
                   NULL};

/* ---- of seq-JEPA ---- */
static Sets m1 = {"N=1", NULL}, m2 = {"N=2", NULL}, m4 = {"N=4", NULL}, none = {"conditioning=neither", NULL},
            no_predictor = {"conditioning=transformer", NULL},
            no_transformer = {"conditioning=predictor", NULL},
            no_saliency = {"data.actions=[saccade(saliency = \"uniform\", inhibit = 0)]", NULL},
            no_inhibition = {"data.actions=[saccade(saliency = \"maps\", inhibit = 0)]", NULL},
            spectral = {"data.actions=[saccade(inhibit = 16, saliency = \"spectral\", square = published)]",
                        NULL},
            crop = {"data.actions.told=crop", "data.target.told=crop", "action_dim=4", NULL},
            jitter = {"data.actions.told=jitter", "data.target.told=jitter", "action_dim=4", NULL},
            blur = {"data.actions.told=blur", "data.target.told=blur", "action_dim=1", NULL},
            imagenet = {"data=image_folder(classes = 1000, views = N + 1, size = 64, load = 224, "
                        "actions = [saccade(inhibit = 32, saliency = \"maps\", square = published)])",
                        "stem=imagenet",
                        "epochs=300",
                        "eval.images=100000",
                        "eval.test_images=50000",
                        "eval.sequences=100000",
                        "eval.test_sequences=50000",
                        NULL};

#define TWO_VIEWS(M)                                                                                         \
  {M "-cifar100", M, {NULL}}, {M "-tinyimagenet", M, {tiny}}, {                                              \
    M "-3diebench", M, { die }                                                                               \
  }
#define TOLD(M)                                                                                              \
  {M "-cifar100", M, {NULL}}, {M "-tinyimagenet", M, {tiny}}, {M "-3diebench", M, {die, die_action}}, {      \
    M "-3diebench_colour", M, { hue, hue_action }                                                            \
  }
#define SEQ(NAME, DATA, ...)                                                                                 \
  {                                                                                                          \
    "seq_jepa" NAME "-" DATA, "seq_jepa_" DATA, { __VA_ARGS__ }                                              \
  }

const PaperRecipe paper_recipes[] = {
    SEQ("", "cifar100", NULL),
    SEQ("_m2", "cifar100", m2),
    SEQ("_no_action", "cifar100", none, m2),
    SEQ("_crop", "cifar100", crop, m2),
    SEQ("_jitter", "cifar100", jitter, m2),
    SEQ("_blur", "cifar100", blur, m2),
    SEQ("", "tinyimagenet", NULL),
    SEQ("_m2", "tinyimagenet", m2),
    SEQ("_no_action", "tinyimagenet", none, m2),
    SEQ("_crop", "tinyimagenet", crop, m2),
    SEQ("_jitter", "tinyimagenet", jitter, m2),
    SEQ("_blur", "tinyimagenet", blur, m2),
    SEQ("", "3diebench", NULL),
    SEQ("_m1", "3diebench", m1),
    SEQ("_m2", "3diebench", m2),
    SEQ("_m4", "3diebench", m4),
    SEQ("_no_action", "3diebench", none),
    SEQ("_no_action_in_predictor", "3diebench", no_predictor),
    SEQ("_no_action_in_transformer", "3diebench", no_transformer),
    SEQ("", "3diebench_colour", NULL),
    SEQ("", "stl10", NULL),
    SEQ("_no_action", "stl10", none),
    SEQ("_no_saliency", "stl10", no_saliency),
    SEQ("_no_inhibition", "stl10", no_inhibition),
    SEQ("_spectral", "stl10", spectral),
    {"seq_jepa-imagenet", "seq_jepa_stl10", {imagenet}},
    TWO_VIEWS("simclr"),
    {"simclr-stl10", "simclr", {stl}},
    TWO_VIEWS("byol"),
    TWO_VIEWS("vicreg"),
    {"vicreg_traj-3diebench", "vicreg_traj", {NULL}},
    TOLD("sen"),
    TOLD("equimod"),
    TOLD("sie"),
    TOLD("cond_byol"),
    {"contextssl-3diebench", "contextssl", {NULL}},
    {"conv_ijepa-stl10", "conv_ijepa", {NULL}},
    {NULL, NULL, {NULL}},
};

const PaperRecipe *recipe_find(const char *name) {
  for (const PaperRecipe *r = paper_recipes; r->name; r++)
    if (!strcmp(r->name, name)) return r;
  return NULL;
}

const char *recipe_path(Cli *c, const PaperRecipe *r) {
  return arena_printf(c->arena, "%s/%s.jepa", compiler_models(c->arena), r->model);
}

static bool given(const Options *o, const char *name, size_t n) {
  for (int i = 0; i < o->nset; i++)
    if (!strncmp(o->set[i].name, name, n) && !o->set[i].name[n]) return true;
  return false;
}

Status recipe_settings(Cli *c, const PaperRecipe *r) {
  NameValue set[MAX_SET];
  int n = 0;
  for (int k = 0; k < 3; k++)
    for (const char *const *s = r->set[k]; s && *s; s++) {
      size_t len = strcspn(*s, "=");
      if (given(&c->opt, *s, len)) continue;
      if (n + c->opt.nset == MAX_SET) return cli_fail(c, ST_USAGE, "more than %d settings", MAX_SET);
      set[n++] = (NameValue){arena_strndup(c->arena, *s, len), *s + len + 1};
    }
  for (int i = 0; i < c->opt.nset; i++) set[n++] = c->opt.set[i];
  memcpy(c->opt.set, set, (size_t)n * sizeof *set);
  c->opt.nset = n;
  return ST_OK;
}

Status cli_take_recipe(Cli *c, const Command *k) {
  const char *name = c->opt.narg ? c->opt.arg[0] : NULL;
  if (!name || !strstr(k->operands, "MODEL") || strchr(name, '/') || strchr(name, '.') || !access(name, F_OK))
    return ST_OK;
  const PaperRecipe *r = recipe_find(name);
  if (!r) return ST_OK;
  c->opt.arg[0] = recipe_path(c, r);
  return recipe_settings(c, r);
}
