autocmd BufRead,BufNewFile *.jepa setfiletype jepa
