//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKill kills the program with SIGKILL at several moments of a run, goes on
// with --resume, and compares the files with those of a run in one piece.
func TestKill(t *testing.T) {
	model, data, project := backbone(6).File(t), photos(t), t.TempDir()
	for class, c := range map[string]int{"green": 1, "red": 0} { // enough images for a kill to hit an epoch
		for i := range 60 {
			write(t, filepath.Join(data, "train", class, "more", string(rune('a'+i/26))+string(rune('a'+i%26))+".jpg"), encoded(t, picture(c, 100+i), ".jpg"))
		}
	}
	args := []string{"train", "--model", model, "--data", data, "--project", project, "--epochs", "6", "--batch", "4", "--accumulate", "3", "--ema", "0.9", "--threads", "2", "--lora-r", "2", "--lora-dropout", "0.1"}
	must(t, append(args, "--name", "whole")...)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(project, "killed")
	state := filepath.Join(dir, "weights", "last", "train_state.safetensors")
	start := func(a ...string) (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.Command(self, a...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		out := &bytes.Buffer{}
		cmd.Stderr = out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, out
	}
	kills := 0
	kill := func(a []string, ready func() bool) {
		t.Helper()
		cmd, out := start(a...)
		end := make(chan error, 1)
		go func() { end <- cmd.Wait() }()
		for deadline := time.Now().Add(time.Minute); !ready(); {
			select {
			case err := <-end:
				t.Logf("the run ended before it was killed: %v\n%s", err, out)
				return
			case <-time.After(time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("nothing happened in a minute:\n%s", out)
			}
		}
		time.Sleep(3 * time.Millisecond) // into the next epoch
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Log(err)
		}
		if err := <-end; err == nil {
			t.Log("the run ended before it was killed")
		} else {
			kills++
		}
	}
	newer := func() func() bool {
		was, _ := os.Stat(state)
		return func() bool {
			now, err := os.Stat(state)
			return err == nil && (was == nil || !os.SameFile(was, now))
		}
	}
	kill(append(args, "--name", "killed"), newer())
	for range 2 {
		kill([]string{"train", "--resume", dir}, newer())
	}
	if kills == 0 {
		t.Fatal("no run was killed: nothing is tested")
	}
	r := must(t, "train", "--resume", dir)
	if !strings.Contains(r.err, "resumes  after epoch") {
		t.Errorf("it did not go on from a checkpoint:\n%s", r.err)
	}
	for _, f := range []string{"last/adapter_model.safetensors", "last/adapter_config.json", "last/train_state.safetensors", "best/adapter_model.safetensors"} {
		a, err := os.ReadFile(filepath.Join(project, "whole", "weights", f))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "weights", f))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("after %d kills %s differs", kills, f)
		}
	}
	t.Logf("%d kills", kills)
}

// TestInterrupt: Ctrl-C saves in mid-epoch and says how to go on.
func TestInterrupt(t *testing.T) {
	model, data, project := backbone(6).File(t), photos(t), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "train", "--model", model, "--data", data, "--project", project, "--epochs", "100000", "--batch", "2", "--threads", "1", "--lora-r", "2")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(project, "train")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "weights", "best", "adapter_model.safetensors")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			t.Fatal("nothing was saved in a minute")
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), "interrupted after epoch") || !strings.Contains(out.String(), "vislora train --resume "+dir) {
		t.Errorf("%v\n%s", err, out.String())
	}
	if _, err := os.Stat(filepath.Join(dir, ".lock")); err == nil {
		t.Error("the lock was left behind")
	}
	must(t, "val", "--weights", dir, "--data", data)
}
