// Node-RED without its editor, its own pages and what it tells its makers.
module.exports = {
  httpAdminRoot: false,
  httpNodeRoot: false,
  telemetry: { enabled: false, updateNotification: false },
  diagnostics: { enabled: false },
  externalModules: { autoInstall: false, palette: { allowInstall: false } },
  credentialSecret: false,
  mqttReconnectTime: 500,
  logging: { console: { level: 'info' } }
}
