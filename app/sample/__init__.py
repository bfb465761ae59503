"""The bundled service to assess, with defects that can be switched on."""
