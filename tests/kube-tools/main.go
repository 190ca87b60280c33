// Command kube is kube-apiserver and kubectl in one binary, told apart by the name it is called by.
//
// The test suite proves Longshore against a real API server, and on a machine where only package
// registries can be reached the Go module proxy is where a real one comes from. One binary because
// both share most of their code: linking it twice would double the time and the disk.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics, as upstream registers them
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	name := filepath.Base(os.Args[0])
	commands := map[string]func() *cobra.Command{
		"kube-apiserver": apiserver.NewAPIServerCommand,
		"kubectl":        kubectl.NewDefaultKubectlCommand,
	}
	command, known := commands[name]
	if !known {
		fmt.Fprintf(os.Stderr, "%s: call me kube-apiserver or kubectl\n", name)
		os.Exit(2)
	}
	os.Exit(cli.Run(command()))
}
