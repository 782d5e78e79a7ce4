Operators of the library: what must hold of them, compiled and interpreted, and their gradients. Values against NumPy and
PyTorch: tests/parity/check_operators.py.

$ for e in order places running integers rounding; do for mode in "" --interp; do jepac run operators.jepa --entry $e $mode | grep -v " 1$"; done; done; true
$ jepac verify operators.jepa --entry gradients -q | sed 's/[0-9].*//'
  ok     
