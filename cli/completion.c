/* The command line as shells and man know it, from the tables of commands and options. */
#include "cli/cli.h"

#include <string.h>

/* text with a backslash before each of these characters. */
static void put_escaped(StrBuf *b, const char *text, const char *special) {
  for (; *text; text++) sb_printf(b, "%s%c", strchr(special, *text) ? "\\" : "", *text);
}

/* "a|b|c" as words. */
static void put_words(StrBuf *b, const char *list) {
  for (; *list; list++) sb_printf(b, "%c", *list == '|' ? ' ' : *list);
}

static void put_options(StrBuf *b, const Command *k) {
  OptionInfo o;
  for (int i = 0; options_of(k, i, &o); i++) sb_printf(b, "%s--%s", i ? " " : "", o.name);
}

/* ---- bash ---- */
void completion_bash(StrBuf *b) {
  OptionInfo o;
  sb_printf(b, "# bash completion for jepac, made by `jepac manual bash`\n"
               "_jepac() {\n"
               "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options=\n"
               "  COMPREPLY=()\n"
               "  if [ \"$COMP_CWORD\" = 1 ]; then\n"
               "    COMPREPLY=($(compgen -W '");
  for (const Command *k = command_table; k->name; k++) sb_printf(b, "%s ", k->name);
  sb_printf(b, "help --help --version' -- \"$word\"))\n"
               "    return\n"
               "  fi\n"
               "  case ${COMP_WORDS[1]}$before in\n");
  for (const Command *k = command_table; k->name; k++)
    for (int i = 0; options_of(k, i, &o); i++)
      if (o.words) {
        sb_printf(b, "  %s--%s) COMPREPLY=($(compgen -W '", k->name, o.name);
        put_words(b, o.arg);
        sb_printf(b, "' -- \"$word\")); return ;;\n");
      } else if (o.arg && !o.file) { /* a number or a name: nothing to propose */
        sb_printf(b, "  %s--%s) compopt +o default; return ;;\n", k->name, o.name);
      }
  sb_printf(b, "  esac\n"
               "  case ${COMP_WORDS[1]} in\n");
  for (const Command *k = command_table; k->name; k++) {
    sb_printf(b, "  %s) options='", k->name);
    put_options(b, k);
    sb_printf(b, "' ;;\n");
  }
  sb_printf(b, "  esac\n"
               "  case $word in -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;; esac\n"
               "}\n"
               "complete -o default -F _jepac jepac\n");
}

/* ---- zsh ---- */
static void put_zsh(StrBuf *b, const char *text) { /* inside '...[text]...' */
  for (; *text; text++) {
    if (*text == '\'') sb_printf(b, "'\\''");
    else sb_printf(b, "%s%c", strchr("[]:\\", *text) ? "\\" : "", *text);
  }
}

void completion_zsh(StrBuf *b) {
  OptionInfo o;
  sb_printf(b, "#compdef jepac\n# zsh completion for jepac, made by `jepac manual zsh`\n_jepac() {\n"
               "  local -a commands\n  commands=(\n");
  for (const Command *k = command_table; k->name; k++) {
    sb_printf(b, "    '%s:", k->name);
    put_zsh(b, k->doc);
    sb_printf(b, "'\n");
  }
  sb_printf(b, "  )\n"
               "  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
               "  case $words[2] in\n");
  for (const Command *k = command_table; k->name; k++) {
    sb_printf(b, "  %s) _arguments", k->name);
    for (int i = 0; options_of(k, i, &o); i++) {
      sb_printf(b, " \\\n    '--%s%s[", o.name, o.arg ? "=" : "");
      put_zsh(b, o.doc);
      sb_printf(b, "]");
      if (o.arg) sb_printf(b, ":value:");
      if (o.words) {
        sb_printf(b, "(");
        put_words(b, o.arg);
        sb_printf(b, ")");
      } else if (o.file) {
        sb_printf(b, "_files");
      }
      sb_printf(b, "'");
    }
    sb_printf(b, " \\\n    '*:file:_files' ;;\n");
  }
  sb_printf(b, "  esac\n}\n_jepac \"$@\"\n");
}

/* ---- fish ---- */
void completion_fish(StrBuf *b) {
  OptionInfo o;
  sb_printf(b, "# fish completion for jepac, made by `jepac manual fish`\n");
  for (const Command *k = command_table; k->name; k++) {
    sb_printf(b, "complete -c jepac -n __fish_use_subcommand -f -a %s -d '", k->name);
    put_escaped(b, k->doc, "'\\");
    sb_printf(b, "'\n");
  }
  for (const Command *k = command_table; k->name; k++)
    for (int i = 0; options_of(k, i, &o); i++) {
      sb_printf(b, "complete -c jepac -n '__fish_seen_subcommand_from %s' -l %s", k->name, o.name);
      if (o.letter) sb_printf(b, " -s %c", o.letter);
      if (o.arg) sb_printf(b, o.file ? " -r" : " -x");
      if (o.words) {
        sb_printf(b, " -a '");
        put_words(b, o.arg);
        sb_printf(b, "'");
      }
      sb_printf(b, " -d '");
      put_escaped(b, o.doc, "'\\");
      sb_printf(b, "'\n");
    }
}

/* ---- man ---- */
static void put_roff(StrBuf *b, const char *text) {
  for (; *text; text++)
    if (*text == '-') sb_printf(b, "\\-");
    else if (*text == '\\') sb_printf(b, "\\e");
    else sb_printf(b, "%c", *text);
}

void completion_man(StrBuf *b) {
  OptionInfo o;
  sb_printf(b,
            ".TH JEPAC 1 \"\" \"jepac " JEPAC_VERSION "\"\n"
            ".SH NAME\njepac \\- compile, train and debug dataflow graphs\n"
            ".SH SYNOPSIS\n.B jepac\n.I COMMAND\n[\\fIoptions\\fR] ...\n"
            ".SH DESCRIPTION\n"
            "A model is a small text file. \\fBjepac\\fR parses it into a graph, differentiates it, fuses "
            "and plans "
            "memory, compiles it through LLVM to native code and trains with that, or writes a C library.\n"
            ".SH COMMANDS\n");
  for (const Command *k = command_table; k->name; k++) {
    sb_printf(b, ".SS jepac %s ", k->name);
    put_roff(b, k->operands);
    sb_printf(b, "\n");
    put_roff(b, k->doc);
    sb_printf(b, ".\n");
    for (int i = 0; options_of(k, i, &o); i++) {
      sb_printf(b, ".TP\n\\fB");
      if (o.letter) sb_printf(b, "\\-%c, ", o.letter);
      put_roff(b, "--");
      put_roff(b, o.name);
      sb_printf(b, "\\fR");
      if (o.arg) sb_printf(b, " \\fI"), put_roff(b, o.arg), sb_printf(b, "\\fR");
      sb_printf(b, "\n");
      put_roff(b, o.doc);
      sb_printf(b, "\n");
    }
  }
  sb_printf(b, ".SH EXIT STATUS\n");
  static const struct {
    int status;
    const char *doc;
  } exits[] = {
      {0, "success"},
      {1, "error in the model, or a check that failed"},
      {2, "wrong use of the command line"},
      {3, "a file cannot be read or written"},
      {4, "a value that is not finite"},
      {5, "verify found a difference"},
      {6, "not enough memory or threads"},
      {7, "a monitor ended the training"},
      {70, "an error in jepac itself; a folder that reproduces it is left"},
  };
  for (size_t i = 0; i < sizeof exits / sizeof *exits; i++) {
    sb_printf(b, ".TP\n%d\n", exits[i].status);
    put_roff(b, exits[i].doc);
    sb_printf(b, "\n");
  }
  sb_printf(
      b,
      ".SH ENVIRONMENT\n.TP\nJEPAC_CACHE\nfolder of compiled kernels, by default jepac in $XDG_CACHE_HOME or "
      "~/.cache; empty: none\n");
}
