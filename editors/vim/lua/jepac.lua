-- Starts `jepac lsp` for model files: require("jepac").setup() in init.lua, or setup({ cmd = { "/path/to/jepac", "lsp" } }).
local M = {}

function M.start(cmd)
  local id = vim.lsp.start_client({
    name = "jepac",
    cmd = cmd or { "jepac", "lsp" },
    root_dir = vim.fn.getcwd(),
  })
  if id then vim.lsp.buf_attach_client(0, id) end
  return id
end

function M.setup(options)
  vim.api.nvim_create_autocmd("FileType", {
    pattern = "jepa",
    callback = function()
      for id, client in pairs(vim.lsp.get_active_clients()) do
        if client.name == "jepac" then return vim.lsp.buf_attach_client(0, client.id or id) end
      end
      M.start(options and options.cmd)
    end,
  })
end

return M
