// Starts `jepac lsp` for model files.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = () => {
  const command = workspace.getConfiguration("jepac").get("path");
  client = new LanguageClient("jepac", "jepac", { command, args: ["lsp"] }, { documentSelector: [{ language: "jepa" }] });
  return client.start();
};

exports.deactivate = () => client && client.stop();
