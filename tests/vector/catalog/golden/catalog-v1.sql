-- A catalog of version 1, as Roost 0.1.0 wrote it. Never regenerate: it must open for ever.
BEGIN TRANSACTION;
CREATE TABLE roost_aliases (
	alias VARCHAR(255) NOT NULL, 
	collection_id BIGINT NOT NULL, 
	PRIMARY KEY (alias)
);
INSERT INTO "roost_aliases" VALUES('tomes',1);
CREATE TABLE roost_collections (
	id BIGINT NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	live_name VARCHAR(255), 
	schema_json TEXT NOT NULL, 
	consistency INTEGER NOT NULL, 
	properties_json TEXT NOT NULL, 
	shards INTEGER NOT NULL, 
	loaded BOOLEAN NOT NULL, 
	created_ts BIGINT NOT NULL, 
	updated_ts BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (live_name)
);
INSERT INTO "roost_collections" VALUES(1,'books','books','{"version": 1, "description": "books", "fields": [{"name": "id", "dtype": 5, "id": 100, "primary": true, "auto_id": false, "nullable": false, "default": null, "dim": 0, "max_length": 0, "dynamic": false, "description": "", "params": {}}, {"name": "vector", "dtype": 101, "id": 101, "primary": false, "auto_id": false, "nullable": false, "default": null, "dim": 8, "max_length": 0, "dynamic": false, "description": "", "params": {}}]}',0,'{"a": "b"}',2,1,77,77);
INSERT INTO "roost_collections" VALUES(2,'films',NULL,'{"version": 1, "description": "books", "fields": [{"name": "id", "dtype": 5, "id": 100, "primary": true, "auto_id": false, "nullable": false, "default": null, "dim": 0, "max_length": 0, "dynamic": false, "description": "", "params": {}}, {"name": "vector", "dtype": 101, "id": 101, "primary": false, "auto_id": false, "nullable": false, "default": null, "dim": 8, "max_length": 0, "dynamic": false, "description": "", "params": {}}]}',2,'{}',1,0,79,79);
CREATE TABLE roost_doomed (
	path VARCHAR(512) NOT NULL, 
	generation BIGINT NOT NULL, 
	doomed_ms BIGINT NOT NULL, 
	PRIMARY KEY (path)
);
INSERT INTO "roost_doomed" VALUES('segment/4',1,12345);
CREATE TABLE roost_format (
	id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "roost_format" VALUES(1,1);
CREATE TABLE roost_ids (
	kind VARCHAR(255) NOT NULL, 
	next_id BIGINT NOT NULL, 
	PRIMARY KEY (kind)
);
INSERT INTO "roost_ids" VALUES('collection',3);
INSERT INTO "roost_ids" VALUES('partition',4);
INSERT INTO "roost_ids" VALUES('index',2);
INSERT INTO "roost_ids" VALUES('segment',6);
CREATE TABLE roost_indexes (
	id BIGINT NOT NULL, 
	collection_id BIGINT NOT NULL, 
	field VARCHAR(255) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	index_type VARCHAR(255) NOT NULL, 
	metric VARCHAR(255) NOT NULL, 
	params_json TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (collection_id, field), 
	UNIQUE (collection_id, name)
);
INSERT INTO "roost_indexes" VALUES(1,1,'vector','by_vector','HNSW','L2','{"M": "16"}');
CREATE TABLE roost_lease (
	id INTEGER NOT NULL, 
	generation BIGINT NOT NULL, 
	holder VARCHAR(255) NOT NULL, 
	renewals BIGINT NOT NULL, 
	high_water_ts BIGINT NOT NULL, 
	released BOOLEAN NOT NULL, 
	term_ms INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "roost_lease" VALUES(1,1,'w1',2,1152921504606846976,0,3000);
CREATE TABLE roost_log_floor (
	id INTEGER NOT NULL, 
	generation BIGINT NOT NULL, 
	file BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "roost_log_floor" VALUES(1,0,2);
CREATE TABLE roost_manifests (
	seq BIGINT NOT NULL, 
	collection_id BIGINT NOT NULL, 
	version BIGINT NOT NULL, 
	generation BIGINT NOT NULL, 
	complete_to BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (collection_id, version)
);
INSERT INTO "roost_manifests" VALUES(1,1,1,1,80,'{"format":1,"collection_id":1,"version":1,"generation":1,"complete_to":80,"segments":[],"notes":{}}');
INSERT INTO "roost_manifests" VALUES(2,1,2,1,90,'{"format":1,"collection_id":1,"version":2,"generation":1,"complete_to":90,"segments":[{"id":5,"partition_id":1,"folder":"segment/5","rows":10,"size_bytes":100,"min_ts":1,"max_ts":2,"deletes":["deletes/5-1"],"deleted_rows":1,"deletes_complete_to":3,"indexes":[{"index_id":1,"field_id":101,"path":"index/5"}],"oldest_read_ts":0}],"notes":{"why":"flush"}}');
CREATE TABLE roost_members (
	id VARCHAR(255) NOT NULL, 
	role VARCHAR(255) NOT NULL, 
	address VARCHAR(255) NOT NULL, 
	client_address VARCHAR(255) NOT NULL, 
	beats BIGINT NOT NULL, 
	info TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "roost_members" VALUES('w1','rw','h:1','h:2',1,'pid 1');
CREATE TABLE roost_partitions (
	id BIGINT NOT NULL, 
	collection_id BIGINT NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	created_ts BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (collection_id, name)
);
INSERT INTO "roost_partitions" VALUES(1,1,'_default',77);
INSERT INTO "roost_partitions" VALUES(2,1,'novels',78);
INSERT INTO "roost_partitions" VALUES(3,2,'_default',79);
CREATE TABLE roost_pins (
	name VARCHAR(255) NOT NULL, 
	collection_id BIGINT NOT NULL, 
	version BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "roost_pins" VALUES('monday',1,1);
CREATE TABLE roost_seals (
	generation BIGINT NOT NULL, 
	file BIGINT NOT NULL, 
	offset_bytes BIGINT NOT NULL, 
	PRIMARY KEY (generation)
);
INSERT INTO "roost_seals" VALUES(0,3,640);
CREATE TABLE roost_state (
	id INTEGER NOT NULL, 
	changes BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "roost_state" VALUES(1,8);
CREATE INDEX ix_roost_partitions_collection_id ON roost_partitions (collection_id);
CREATE INDEX ix_roost_indexes_collection_id ON roost_indexes (collection_id);
CREATE INDEX ix_roost_aliases_collection_id ON roost_aliases (collection_id);
COMMIT;
