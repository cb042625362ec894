// Package spool keeps the messages of one uplink until the cloud has
// acknowledged them: in RAM while the cloud answers in time, on disk when it
// does not.
//
//	Push --> live ------------------------------> Take --> in flight --> Ack
//	    \--> behind --------------------------/     ^          |
//	           |  commit (fsync): ticket settled    |          | commit
//	           +--> rows on disk -- read ahead -----+          v
//	                rows <------------------------------ kept, not sent again
//
// # Streams
//
// A stream is one ordered sequence: a link and a class. Messages of a topic
// belong to one stream. Within it a message waits in live as long as nothing of
// its topic's hash bucket (of 4096) waits in the backlog, else behind it. The
// backlog is what is on disk, in order, and then what waits behind. Take gives
// from live and backlog in turn, so that one old topic holds up no other and a
// backlog ends even while messages come in.
//
// replay-rate holds the backlog to a number of messages a second, the urgent
// class excepted, but always to a quarter more than come in behind it, so that
// it ends. Stats say how fast it drains and how long that will take.
//
// The reader of a stream's rows is at the end when it has come to the end of
// what is on disk. How many rows are left, in all and by hash bucket, is only
// counted; should damage and errors of the disk together make a count wrong,
// the reader puts it right at the end.
//
// # Holding back
//
// A link may have the spool hold messages back, because the cloud refuses them
// for now (Hold, Return). They wait behind, then on disk, and the reader passes
// over their rows; the rest of the stream goes on. What is sent meanwhile is
// remembered row by row, so that when they are released the reader begins again
// at the first row it passed over and gives only what was not sent. The file of
// such a row stays, with all after it. At max-disk files of which half is done
// are rewritten without that, before anything that waits is dropped; what is
// held counts as waiting.
//
// # When it writes
//
// A commit is due for messages that waited, or are in flight, longer than
// spill-after, and takes those along that waited half of it; for all of a link that is down; and when half of the window in
// RAM is used. One committer serves all streams with one transaction, spaced
// by the wear budget. When a message is written, every older message of its
// stream that is neither acknowledged nor on disk is written with it: what is
// on disk never has a hole that a power cut would turn into a wrong order.
//
// # Files
//
// The directory holds small bbolt files (00000001.spool, ...): a bucket per
// stream, the sequence as key, a row per message. Rows are only added; a file
// whose rows are all acknowledged is deleted, and a process never writes to a
// file of an earlier one. The bucket "cursor" says how far each stream is done,
// and which rows beyond that are; it is written with every commit and now and
// then while draining, and the highest of all files counts. After a crash what
// was acknowledged since then is sent again.
//
// A row names its stream, sequence and message id and has a checksum, so that
// it can be found and trusted in a file whose tree is destroyed. A commit that
// failed is repeated into a new file, because nobody knows what the failed one
// left behind; so parts of two files may overlap, and readers merge them.
//
// # Damage
//
// bbolt trusts what it maps and may bring the process down with it. So at the
// start every file is checked by a child process, and reads at run time are
// guarded. Before the first row of a file is read all its rows are counted, by
// a goroutine that goes one file ahead of the links. A damaged file is renamed to NAME.corrupt-TIME (the newest four are
// kept) and its intact rows, found page by page with plain reads, take its
// place under its number, before all newer ones. On a card without room for
// them they are read where they are, until they have drained.
//
// # Drops
//
// Every message that will not reach the cloud is counted by route, class and
// cause, with the lowest and the highest id and the topic of that one; its
// route is looked up by its topic when it is dropped. The first of a route and
// cause is logged at once, how many more there were once a minute.
//
// # Dead letters
//
// What the cloud refuses for good goes to dead-letters.jsonl, a line of JSON
// each. Who holds the lock on the directory decides about them: a gateway that
// runs finds what is asked of it in dead-letters.request, looks for that once a
// second, and removes it when it is done. Letters to be sent again stay in
// dead-letters.retry.jsonl until each is acknowledged or on disk. They keep
// their ids and arrive after what was sent since; the age limit begins anew for
// them, the publisher's expiry does not. There is room for about 2 MiB in two
// files; the letters of the older one go when the newer is full, counted as
// dead-lost.
//
// Look reads a directory without its lock, page by page, while a gateway writes
// to it, too.
//
// # Layouts
//
// Which link a topic belongs to depends on the number of links. When that has
// changed since the last run, the streams of the old layout drain first and
// nothing new is sent until all of it is acknowledged. Not so when a reload of
// the configuration gives a topic another class: that is another stream, and
// the order of the topic's messages across the reload is not kept. What is held
// back in an old layout holds everything up.
//
// # Time
//
// A row holds the boot epoch, the monotonic time since the start of its
// process and, if the clock was synchronised, wall time. The age of a row from
// an earlier epoch is the difference of wall times if both are known, else the
// monotonic time that the epochs since then are known to have lasted. A clock
// that jumps expires nothing.
//
// # Caveats
//
// QoS 0 messages wait and are written as all others, only without a ticket.
// Acknowledgements out of order leave the cursor at the oldest message that is
// missing one; those beyond are written down with it as runs, about 1365 for
// each stream. A backlog in which held and sent messages take turns needs more:
// what is beyond them (StreamStats.Unmarked) is sent again after a power cut, but
// not after a stop. At max-disk the classes that drop lose their oldest rows a file
// at a time; the others stay in RAM until their window is full. Until the
// directory is loaded nothing is written, so nothing is acknowledged; a file of
// 16 MiB takes about 0.1 s on a PC. The directory has one user: it is locked.
package spool
