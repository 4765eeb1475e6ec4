package vision

import "fmt"

// Task is what a model is trained for.
type Task string

// The tasks, as they are written on the command line and in metrics.json.
const (
	Classify Task = "classify"
	Detect   Task = "detect"
	Segment  Task = "segment"
	Instance Task = "instance"
)

// ParseTask checks the name of a task.
func ParseTask(s string) (Task, error) {
	switch t := Task(s); t {
	case Classify, Detect, Segment, Instance:
		return t, nil
	}
	return "", fmt.Errorf("unknown task %q: use classify, detect, segment or instance", s)
}
