" :compiler jepac, then :make checks the file that is edited and fills the quickfix list.
if exists("current_compiler") | finish | endif
let current_compiler = "jepac"
CompilerSet makeprg=jepac\ check\ %:S
CompilerSet errorformat=%E%f:%l:%c:\ error:\ %m,%W%f:%l:%c:\ warning:\ %m,%I%f:%l:%c:\ note:\ %m,%-G\ %#^,%-G\ \ \ \ %.%#,%Ejepac:\ error:\ %m,%-G%.%#
