PRAGMA application_id = 1296646487;
PRAGMA user_version = 4;
BEGIN TRANSACTION;
CREATE TABLE absorbed (
        namespace TEXT NOT NULL,
        episode TEXT NOT NULL,
        body TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (namespace, episode)
    ) STRICT;
INSERT INTO "absorbed" VALUES('default','good','{"decision":"merged","reason":"known","workflow_id":"w1"}',1584207772);
CREATE TABLE exposures (
        namespace TEXT NOT NULL,
        subject TEXT NOT NULL,
        shown INTEGER NOT NULL DEFAULT 0,
        shown_won INTEGER NOT NULL DEFAULT 0,
        withheld INTEGER NOT NULL DEFAULT 0,
        withheld_won INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace, subject)
    ) STRICT;
CREATE TABLE log (
        seq INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        namespace TEXT NOT NULL,
        action TEXT NOT NULL,
        workflow TEXT,
        reason TEXT NOT NULL,
        digest TEXT,
        detail TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
INSERT INTO "log" VALUES(1,'2026-11-22T00:00:01.000+00:00','default','put','w1','','fc49b1e19ac221b41e9a8dbf4ae60fc7e4c8e69e847e3bbe7645001428242925','{"standing":{},"source":"9b17eb37aa991af26bbd4281d1390765f406be6095a067c78f517500f2daf4e0"}','42e80f8f785bcc8ed6fb04f6030b66d21af3031837c94abfb49802781816a9d1');
INSERT INTO "log" VALUES(2,'2026-11-22T00:00:02.000+00:00','default','embed','w1','','abee3826f3b395d789bee26c22decdb27b3a9471395039dc2c9eef97c6937231','{"name":"toy-8"}','d6fc1809e267b3702add5b97e2bfc972ca9cf0c3e09b1f2f98b7c78c6094f27c');
INSERT INTO "log" VALUES(3,'2026-11-22T00:00:03.000+00:00','default','put','w1','','d31d3bd7c70278ea07f55babf1f89aaad4beae81c5e9a61074ef0e6a726e116e','{"standing":{},"source":"c5de84ed2b086aaa4d118b9a43183a9ca2bce9ff3ca8d37f463de76bf3bdc1c4"}','f57d69adb281315fca62a7ae64a35cb0ad5f542f803fa06da0441a649de9363e');
INSERT INTO "log" VALUES(4,'2026-11-22T00:00:04.000+00:00','default','embed','w1','','15b50b3caadc1f1d42582b575042274f4b18ce029b024a26dc6e903a57007cea','{"name":"toy-8"}','af8ca712612c5de133c64a14c584820243a41f5a31a6b7424adf32ae8d3de04b');
INSERT INTO "log" VALUES(5,'2026-11-22T00:00:05.000+00:00','default','merge','w1','','b0f76256dbec875ccf5f8be418355732eb7e97ad3dead02ce6d454f3158c7ef5','{}','00f255b421363a7edf788160a33a45d8beeb06bd3beb931eb4684c34d0c219b9');
INSERT INTO "log" VALUES(6,'2026-11-22T00:00:06.000+00:00','default','merge','w1','','633768432551e6ff7480d7cded6aac4db596c2832d5346d0de923575acee4a9c','{}','8e9eebdffccb79ae02b19142884e1f549635c7764c57eaeaa2ebae0ca713ed95');
INSERT INTO "log" VALUES(7,'2026-11-22T00:00:07.000+00:00','default','merge','w1','','837587d7c528cca35559e136a42cc1d8d3b5d9dc761f809d1d6643f62efeca6a','{}','b8bc9e98c0a884bdf64c56a5dd391452427344ac687bb38bc4063160901b1f05');
INSERT INTO "log" VALUES(8,'2026-11-22T00:00:08.000+00:00','default','absorb','w1','episode good: merged','2b3a26f7cb99623a1b71cdda8c5be4ab6a5db04078b88d93c2386aea6fd25728','{}','0e9603d97fd734a73e199c830ca7cbb07a1ca139caf5de64ff035af399b38ec8');
INSERT INTO "log" VALUES(9,'2026-11-22T00:00:09.000+00:00','default','put','w2','','480c6da737a47d6603bff4c88b3e66e2957074e632e6eaba84c604e28fe3a14b','{"standing":{},"parents":["w1"],"source":"fcee21d3c3df8b1e2ff3e57c9c17f45811395affc9696b1699412fd5d55fdb44"}','d15e20717e1829ed3a135aabc59225cc2dc8a0c2174d55935bd1ab7511f43c90');
INSERT INTO "log" VALUES(10,'2026-11-22T00:00:10.000+00:00','default','embed','w2','','066bb18192421f7891780d53a2ff5e59120a0f59c20af8a0c11623d382ee3d19','{"name":"toy-8"}','51bee55e57e2dc9f277d8fa1f6d337b5a720a73a498fea560232fc038a86ccc9');
INSERT INTO "log" VALUES(11,'2026-11-22T00:00:11.000+00:00','default','merge','w2','','4077517ebf328da281db76ba1c00d965ef1a54161b8629f68df81aa827520eee','{}','1f18fb288fe564ba0280d491ac580394b1901099908a1948c5231ffaa4641566');
INSERT INTO "log" VALUES(12,'2026-11-22T00:00:12.000+00:00','other','import','w3','','94e7081f6f7bf902cc3a4568fb353bbe9303c23eb3e911c66568f2c1097c6304','{"standing":{"uses":3,"wins":1},"source":"3966315392c5980e6510733145fdac6410d273bd3465693fe40373a83f4ab33a"}','6041cd2de08df69db2a7658f15fa0cddc7c5f5b1f899f718bd45e39292866303');
INSERT INTO "log" VALUES(13,'2026-11-22T00:00:13.000+00:00','default','credit','w2','',NULL,'{"standing":{"uses":1,"wins":1,"used":"2026-02-02","trust":"trusted"}}','46876c70a685b88b2e75e8dbf2956098f5911e081713780ed902f8646f1052d1');
INSERT INTO "log" VALUES(14,'2026-11-22T00:00:14.000+00:00','','snapshot',NULL,'then',NULL,'{"name":"then","seq":13}','80d07ac73f90a993bae3b8d033d4e50d2a17f6526dd93c5f7a68073971328d8d');
INSERT INTO "log" VALUES(15,'2026-11-22T00:00:15.000+00:00','default','trust','w2','looks odd',NULL,'{"standing":{"uses":1,"wins":1,"used":"2026-02-02","trust":"quarantined"}}','a44172ff179bd2ab58ee69269d381d48d5af39135cbd5bf22be788a7b48d098e');
INSERT INTO "log" VALUES(16,'2026-11-22T00:00:16.000+00:00','default','delete','w2','',NULL,'{}','aa761e3619276cd7d0f0022efd57700fc557ee1cc13ee62d84265458c1ea64f5');
INSERT INTO "log" VALUES(17,'2026-11-22T00:00:17.000+00:00','other','delete','w3','',NULL,'{}','cf909396c02a612e1ea1235373323fa4114cac2f587ee58326586ce33dbfab6a');
INSERT INTO "log" VALUES(18,'2026-11-22T00:00:18.000+00:00','other','import','w3','','94e7081f6f7bf902cc3a4568fb353bbe9303c23eb3e911c66568f2c1097c6304','{"standing":{},"source":"3966315392c5980e6510733145fdac6410d273bd3465693fe40373a83f4ab33a"}','dd64589993d2394c55ec13acbc594f57993e097c4378b019ca9b38134de1c1b9');
INSERT INTO "log" VALUES(19,'2026-11-22T00:00:19.000+00:00','default','restore','w2','back to entry 13','480c6da737a47d6603bff4c88b3e66e2957074e632e6eaba84c604e28fe3a14b','{"standing":{"uses":1,"wins":1,"used":"2026-02-02"},"parents":["w1"],"source":"fcee21d3c3df8b1e2ff3e57c9c17f45811395affc9696b1699412fd5d55fdb44","seq":9}','aa83446d767077c2343c37243a03bb8f6d8ff5c602c9a1cc313e567fd6d65b45');
INSERT INTO "log" VALUES(20,'2026-11-22T00:00:20.000+00:00','default','merge','w2','back to entry 13','4077517ebf328da281db76ba1c00d965ef1a54161b8629f68df81aa827520eee','{}','475f1f6bc2f66ef5e0c623ff13a1785a5945511b7ce76920fc58102a8378d2ac');
INSERT INTO "log" VALUES(21,'2026-11-22T00:00:21.000+00:00','other','recount','w3','back to entry 13',NULL,'{"standing":{"uses":3,"wins":1}}','d0d76439f3ec92c0399c402e3ec7e8ba40fb527e871c8d6b314ba54f6b98c398');
INSERT INTO "log" VALUES(22,'2026-11-22T00:00:22.000+00:00','default','unmerge','w1','asked to forget by domain',NULL,'{"sources":["b0f76256dbec875ccf5f8be418355732eb7e97ad3dead02ce6d454f3158c7ef5"],"erased":[5]}','70dd58bc84ff4d8cc1f800cd2842ffb0a00162bd8e9a35ff1ad999f3cb101566');
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT INTO "meta" VALUES('head','22 70dd58bc84ff4d8cc1f800cd2842ffb0a00162bd8e9a35ff1ad999f3cb101566');
INSERT INTO "meta" VALUES('embedder','toy-8');
INSERT INTO "meta" VALUES('dimension','8');
CREATE TABLE pair_episodes (
        namespace TEXT NOT NULL,
        right_episode TEXT NOT NULL,
        wrong_episode TEXT NOT NULL,
        pair TEXT NOT NULL,
        body TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (namespace, right_episode, wrong_episode)
    ) STRICT;
CREATE TABLE pair_vectors (
        pair TEXT PRIMARY KEY REFERENCES plan_pairs (id) ON DELETE CASCADE,
        embedder TEXT NOT NULL,
        question BLOB NOT NULL,
        template BLOB NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT;
CREATE TABLE plan_pairs (
        id TEXT PRIMARY KEY,
        namespace TEXT NOT NULL,
        plans TEXT NOT NULL,
        body TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT;
CREATE TABLE snapshots (
        name TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        at TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT;
INSERT INTO "snapshots" VALUES('then',13,'2026-11-22T00:00:14.000+00:00',222368991);
CREATE TABLE sources (
        workflow TEXT NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (workflow, digest)
    ) STRICT;
INSERT INTO "sources" VALUES('w1','9b17eb37aa991af26bbd4281d1390765f406be6095a067c78f517500f2daf4e0','{"episode":"episode of w1","question_id":"question of w1","judge":"exact_match","domains":["wiki.example"],"at":"2026-01-01T00:00:00.000+00:00"}');
INSERT INTO "sources" VALUES('w1','c5de84ed2b086aaa4d118b9a43183a9ca2bce9ff3ca8d37f463de76bf3bdc1c4','{"episode":"episode of w1 again","question_id":"question of w1","judge":"exact_match","domains":["wiki.example"],"at":"2026-01-02"}');
INSERT INTO "sources" VALUES('w1','633768432551e6ff7480d7cded6aac4db596c2832d5346d0de923575acee4a9c','{"episode":"good","domains":["wiki.example"],"at":"2026-02-04"}');
INSERT INTO "sources" VALUES('w1','837587d7c528cca35559e136a42cc1d8d3b5d9dc761f809d1d6643f62efeca6a','{"episode":"good too","domains":["wiki.example"],"at":"2026-02-08"}');
INSERT INTO "sources" VALUES('w3','3966315392c5980e6510733145fdac6410d273bd3465693fe40373a83f4ab33a','{"episode":"episode of w3","question_id":"question of w3","judge":"exact_match","domains":["wiki.example"],"at":"2026-01-01T00:00:00.000+00:00"}');
INSERT INTO "sources" VALUES('w2','fcee21d3c3df8b1e2ff3e57c9c17f45811395affc9696b1699412fd5d55fdb44','{"episode":"episode of w2","question_id":"question of w2","judge":"exact_match","domains":["wiki.example"],"at":"2026-01-01T00:00:00.000+00:00"}');
INSERT INTO "sources" VALUES('w2','4077517ebf328da281db76ba1c00d965ef1a54161b8629f68df81aa827520eee','{"episode":"for w2"}');
CREATE TABLE unembedded (
        seq INTEGER PRIMARY KEY REFERENCES workflows (seq) ON DELETE CASCADE,
        namespace TEXT NOT NULL
    ) STRICT;
INSERT INTO "unembedded" VALUES(18,'other');
INSERT INTO "unembedded" VALUES(19,'default');
CREATE TABLE vectors (
        seq INTEGER PRIMARY KEY REFERENCES workflows (seq) ON DELETE CASCADE,
        question BLOB NOT NULL,
        template BLOB NOT NULL,
        caption BLOB,
        crc INTEGER NOT NULL,
        question_crc INTEGER NOT NULL
    ) STRICT;
INSERT INTO "vectors" VALUES(1,X'000000000000803F000000000000000000000000000000000000000000000000',X'000000000000803F000000000000000000000000000000000000000000000000',X'0000803F00000000000000000000000000000000000000000000000000000000',1354013573,2575682319);
CREATE TABLE versions (
        seq INTEGER PRIMARY KEY REFERENCES log (seq),
        body TEXT NOT NULL
    ) STRICT;
INSERT INTO "versions" VALUES(1,'{"id":"w1","namespace":"default","question":"When was the director of film w1 born?","question_template":"When was the director of film [A] born?","category":"time","steps":[{"tool":"search","purpose":"find it","query":"[A]","yielded":"a date"}],"summary":"summary of w1","plan":"#1 plan of w1\nanswer #1","outcome":"success","verdict_kind":"exact_match","confidence":1.0,"question_id":"question of w1","created":"2026-01-01T00:00:00.000+00:00","source_episode":"episode of w1","source_domains":["wiki.example"]}');
INSERT INTO "versions" VALUES(3,'{"id":"w1","namespace":"default","question":"When was the director of film w1 born?","question_template":"When was the director of film [A] born?","category":"time","steps":[{"tool":"search","purpose":"find it","query":"[A]","yielded":"a date"}],"summary":"shorter","plan":"#1 plan of w1\nanswer #1","outcome":"success","verdict_kind":"exact_match","confidence":1.0,"question_id":"question of w1","created":"2026-01-02","source_episode":"episode of w1 again","source_domains":["wiki.example"]}');
INSERT INTO "versions" VALUES(6,'{"episode":"good","domains":["wiki.example"],"at":"2026-02-04"}');
INSERT INTO "versions" VALUES(7,'{"episode":"good too","domains":["wiki.example"],"at":"2026-02-08"}');
INSERT INTO "versions" VALUES(9,'{"id":"w2","namespace":"default","question":"When was the director of film w2 born?","question_template":"When was the director of film [A] born?","category":"time","steps":[{"tool":"search","purpose":"find it","query":"[A]","yielded":"a date"}],"summary":"summary of w2","plan":"#1 plan of w2\nanswer #1","outcome":"success","verdict_kind":"exact_match","confidence":1.0,"question_id":"question of w2","created":"2026-01-01T00:00:00.000+00:00","source_episode":"episode of w2","source_domains":["wiki.example"],"parents":["w1"]}');
INSERT INTO "versions" VALUES(11,'{"episode":"for w2"}');
INSERT INTO "versions" VALUES(12,'{"id":"w3","namespace":"other","question":"When was the director of film w3 born?","question_template":"When was the director of film [A] born?","category":"time","steps":[{"tool":"search","purpose":"find it","query":"[A]","yielded":"a date"}],"summary":"summary of w3","plan":"#1 plan of w3\nanswer #1","outcome":"success","verdict_kind":"exact_match","confidence":1.0,"question_id":"question of w3","created":"2026-01-01T00:00:00.000+00:00","source_episode":"episode of w3","source_domains":["wiki.example"]}');
INSERT INTO "versions" VALUES(18,'{"id":"w3","namespace":"other","question":"When was the director of film w3 born?","question_template":"When was the director of film [A] born?","category":"time","steps":[{"tool":"search","purpose":"find it","query":"[A]","yielded":"a date"}],"summary":"summary of w3","plan":"#1 plan of w3\nanswer #1","outcome":"success","verdict_kind":"exact_match","confidence":1.0,"question_id":"question of w3","created":"2026-01-01T00:00:00.000+00:00","source_episode":"episode of w3","source_domains":["wiki.example"]}');
INSERT INTO "versions" VALUES(19,'{"id":"w2","namespace":"default","question":"When was the director of film w2 born?","question_template":"When was the director of film [A] born?","category":"time","steps":[{"tool":"search","purpose":"find it","query":"[A]","yielded":"a date"}],"summary":"summary of w2","plan":"#1 plan of w2\nanswer #1","outcome":"success","verdict_kind":"exact_match","confidence":1.0,"question_id":"question of w2","created":"2026-01-01T00:00:00.000+00:00","source_episode":"episode of w2","source_domains":["wiki.example"],"parents":["w1"]}');
INSERT INTO "versions" VALUES(20,'{"episode":"for w2"}');
CREATE TABLE workflows (
        seq INTEGER PRIMARY KEY,
        text INTEGER NOT NULL REFERENCES versions (seq),
        id TEXT NOT NULL UNIQUE,
        namespace TEXT NOT NULL,
        modality TEXT NOT NULL,
        category TEXT NOT NULL,
        outcome TEXT NOT NULL,
        plan_digest TEXT NOT NULL,
        question_id TEXT NOT NULL,
        task TEXT,
        source_episode TEXT NOT NULL,
        created TEXT NOT NULL,
        uses INTEGER NOT NULL,
        wins INTEGER NOT NULL,
        used TEXT,
        trust TEXT NOT NULL,
        crc INTEGER NOT NULL,
        seal INTEGER NOT NULL
    ) STRICT;
INSERT INTO "workflows" VALUES(1,3,'w1','default','text','time','success','1f5d03206757419c9aaeae022734ce6e','question of w1',NULL,'episode of w1 again','2026-01-02',0,0,NULL,'trusted',3726704930,603844967);
INSERT INTO "workflows" VALUES(18,18,'w3','other','text','time','success','483a27e081414690e934968ea3130372','question of w3',NULL,'episode of w3','2026-01-01T00:00:00.000+00:00',3,1,NULL,'trusted',1951427053,4030620309);
INSERT INTO "workflows" VALUES(19,19,'w2','default','text','time','success','7b4ccbe8bd525916c44930ebf8cad93f','question of w2',NULL,'episode of w2','2026-01-01T00:00:00.000+00:00',1,1,'2026-02-02','trusted',3818620801,2774189372);
CREATE INDEX log_by_workflow ON log (workflow);
CREATE INDEX workflows_by_age ON workflows (namespace, created);
CREATE INDEX workflows_by_plan ON workflows (namespace, plan_digest);
CREATE INDEX unembedded_by_place ON unembedded (namespace);
CREATE INDEX plan_pairs_by_plans ON plan_pairs (namespace, plans);
CREATE INDEX pair_episodes_by_pair ON pair_episodes (pair);
COMMIT;
