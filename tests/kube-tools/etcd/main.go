// Command etcd is upstream's server, unchanged. Debian's 3.4 lacks RequestWatchProgress, without
// which a streaming list against kube-apiserver ends in an error.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
