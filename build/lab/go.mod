module tidegate/build/lab

go 1.26.0

replace tidegate => ../..

require (
	github.com/eclipse/paho.golang v0.23.0
	github.com/hanwen/go-fuse/v2 v2.12.1
	go.etcd.io/bbolt v1.5.0
)

require (
	golang.org/x/sync v0.23.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
