{{- define "trysail.labels" -}}
app.kubernetes.io/name: trysail-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: trysail
{{- end }}

{{- define "trysail.selector" -}}
app.kubernetes.io/name: trysail-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "trysail.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
