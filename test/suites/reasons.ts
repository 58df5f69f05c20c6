// Why tests of several suites differ through the door.

export const settingsStay =
  '`client_encoding` stays UTF8 and `standard_conforming_strings` stays on: texts are read by them'
export const startupSettings = 'a client may not bring `search_path` and the like at the start of a connection'
export const otherDatabases = 'it makes a database and connects to it, and the gateway has no entry of that name'
export const readAhead =
  'an error comes when some MB more have been written than without the door between, and the test writes only 4'
export const hurried =
  'it gives a login, or a statement, 0.1 or 0.2 s: too little through the door on a busy machine; by itself it passes'
export const applicationName = '`application_name` begins with who it is'
export const asExecute = '`CREATE TABLE AS EXECUTE` is refused: it would store what a prepared statement yields'
export const opaque =
  'functions of C, of `internal` and those that put SQL together are refused where a column is protected, for they may name any table; what uses them then fails'
export const sqlInText =
  '`ts_rewrite` with a query, and `table_to_xml` and its like, are refused where a column is protected: they read what a text says'
export const pageOrder = 'it prints rows of a catalogue in no order: as they lie there, after what ran before'
export const counts =
  'it prints numbers that depend on what ran before in the database (OIDs, buffers), and some of that was refused'
export const itsOwnLogins =
  'it makes users in the database and logs in as them: who may log in at the door is in the accounts of the gateway'
