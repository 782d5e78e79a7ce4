#!/bin/sh
# jepac 0.2 ended with an internal error; run this here
cd "$(dirname "$0")" || exit
exec jepac 'ir' 'rb.ir' '--stage' 'kernels' '-o' '/dev/null'
